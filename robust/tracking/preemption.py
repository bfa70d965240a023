"""A command that has to stop ends cleanly, and the same command goes on later."""

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, final

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn

from robust.checkpoints import furthest_checkpoint, steps_of
from robust.errors import Stopped
from robust.io.streams import say
from robust.tracking.interrupts import (
    GO_ON,
    INTERRUPTED,
    end_at_once,
    which_interrupt,
)
from robust.tracking.saving import forget_other_files

REQUEUE = 75
"""Exit code after SIGUSR1: EX_TEMPFAIL of sysexits.h, "try again"."""
_CODES = {
    signal.SIGUSR1: REQUEUE,
    signal.SIGTERM: 128 + signal.SIGTERM,
    signal.SIGINT: INTERRUPTED,
}
_FILE = "preempted.ckpt"


@final
class Preemption(Callback):
    """Ends a command on SIGUSR1, SIGTERM or SIGINT so that the same command goes on later.

    A training ends after its current optimizer step, which is the same on all processes. It keeps
    ``checkpoints/preempted.ckpt``, but not at the end of an epoch that has its own checkpoint. All
    other commands end at once, since the records of attacks are on disk. W&B marks the run as
    preempted.

    The first process has exit code 75 after SIGUSR1, by which schedulers announce the end of the
    time. It has 143 after SIGTERM, and 130 after SIGINT (Ctrl-C); a second SIGINT ends it at once.
    It has 0 if the agent of a W&B sweep sends SIGTERM. So hyperband stops a run, which must not
    count as a failure. The caller of the command has to start it again.

    Lightning's own handlers are replaced, because they save and communicate at once, while each
    process may be in another part of the step.

    Args:
        folder: Folder of the training's run; None if there is nothing to keep.
        flags: How the command is told to go on, with ``{}`` for the id of the run.
    """

    def __init__(
        self, folder: Path | None = None, flags: str = "--run.id={} --run.resume=auto"
    ) -> None:
        self._path = None if folder is None else folder / "checkpoints" / _FILE
        self._flags = flags
        self._told: signal.Signals | None = None
        self._leaving = False
        self._steps = 0

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep callbacks from removing files that are not theirs (see `forget_other_files`)."""
        forget_other_files(trainer, checkpoint)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle signals; Lightning restores the earlier handlers after the training."""
        self.listen(trainer, training=True)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle signals, unless a training does."""
        if trainer.state.fn is not TrainerFn.FITTING:
            self.listen(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle signals, and leave at once if the training got one in its last steps."""
        self.listen(trainer)
        if self._anyone_told(trainer):
            self._leave(trainer, self._told_together(trainer))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave between two epochs if the last is in a checkpoint."""
        if self._path is not None and self._anyone_told(trainer):
            found = furthest_checkpoint(self._path.parents[1])
            kept = found is not None and steps_of(found) == trainer.global_step
            if trainer.strategy.reduce_boolean_decision(kept):
                self._leave_training(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Leave after a step that was kept, since its numbers are logged by now."""
        if self._leaving:
            self._leave_training(trainer)
        self._steps = trainer.global_step

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Keep a checkpoint if any process has to leave, unless gradients are still accumulated.

        After the last batch of an epoch validation and the end of the epoch come first.
        """
        if self._path is None or not self._anyone_told(trainer):
            return
        last = trainer.is_last_batch or trainer.global_step == trainer.max_steps
        if trainer.global_step > self._steps and not last:
            trainer.save_checkpoint(self._path)
            self._leaving = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the checkpoint of an earlier session if a later one exists."""
        if self._path is None or not trainer.is_global_zero or not self._path.is_file():
            return
        if furthest_checkpoint(self._path.parents[1]) != self._path:
            self._path.unlink()

    def listen(self, trainer: Trainer, *, training: bool = False) -> None:
        """Handle signals from now on, also before and after the trainer works.

        Args:
            trainer: Its processes are told.
            training: Whether it trains and leaves only after a step; otherwise it leaves at once.
        """

        def kill(number: signal.Signals) -> None:
            if trainer.strategy.launcher is not None:
                trainer.strategy.launcher.kill(number)  # the processes that it started

        def handle(number: int, frame: FrameType | None) -> None:
            which = which_interrupt() if number == signal.SIGINT else "first"
            if which == "second":
                end_at_once(lambda: kill(signal.SIGKILL))
            if which == "echo":
                return
            self._told = self._told or signal.Signals(number)
            if not training:  # otherwise `on_train_batch_end` leaves
                kill(signal.Signals(number))
                self._leave(trainer, self._told)

        if threading.current_thread() is threading.main_thread():  # Python allows no other
            for signal_number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
                signal.signal(signal_number, handle)

    def _anyone_told(self, trainer: Trainer) -> bool:
        return trainer.strategy.reduce_boolean_decision(self._told is not None, all=False)

    def _leave_training(self, trainer: Trainer) -> NoReturn:
        where = f" after step {trainer.global_step}"
        self._leave(trainer, self._told_together(trainer), where)

    def _leave(self, trainer: Trainer, told: signal.Signals, where: str = "") -> NoReturn:
        given_up = told is signal.SIGTERM and "WANDB_SWEEP_ID" in os.environ
        code = 0 if given_up else _CODES[told]
        if trainer.is_global_zero:
            say(f"Stopped by {told.name}{where} (exit code {code}). {self._how_to_go_on()}.")
            for logger in trainer.loggers:
                # A logger without a run would begin one here.
                if isinstance(logger, WandbLogger) and logger._experiment and not given_up:
                    logger.experiment.mark_preempting()
        # 0 from the others: at any other code srun, torchrun and Lightning kill what still runs.
        raise Stopped(code if trainer.is_global_zero else 0)

    def _told_together(self, trainer: Trainer) -> signal.Signals:
        """Return one signal for all processes, each of which may have got another or none."""
        for number in (signal.SIGTERM, signal.SIGINT):
            if trainer.strategy.reduce_boolean_decision(self._told is number, all=False):
                return number
        return signal.SIGUSR1

    def _how_to_go_on(self) -> str:
        if self._path is None:
            return GO_ON
        return f"{GO_ON}, with {self._flags.format(self._path.parents[1].name)}"
