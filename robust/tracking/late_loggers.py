"""Loggers that begin with the first number, rather than before the work."""

from collections.abc import Sequence
from typing import final

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger


@final
class LateLoggers(Callback):
    """Gives a `Trainer` its loggers once its test has begun.

    The `Trainer` begins the run of each logger that it is built with. W&B's takes two seconds of
    CPU time, before which nothing would be attacked.

    Args:
        loggers: What the test logs to.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self._loggers = list(loggers)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand the loggers over."""
        trainer.loggers = self._loggers
