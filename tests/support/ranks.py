"""What each process of a run knows of its metrics."""

import json
from pathlib import Path

from lightning.pytorch import Callback

from robust.tracking.progress import displays


class PerRank(Callback):
    """Writes the metrics of every validation and test of a process to ``rank<R>.jsonl``.

    Args:
        folder: Where to; made if absent.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def _write(self, trainer):
        if trainer.sanity_checking:
            return
        logged = trainer.callback_metrics.items()
        # The loss of a training batch is a process's own.
        metrics = {key: float(value) for key, value in logged if not key.startswith("train/")}
        self.folder.mkdir(exist_ok=True)
        with (self.folder / f"rank{trainer.global_rank}.jsonl").open("a") as file:
            file.write(json.dumps(metrics) + "\n")

    def on_validation_end(self, trainer, pl_module):
        self._write(trainer)

    def on_test_end(self, trainer, pl_module):
        self._write(trainer)


class ManyLines(Callback):
    """Has a log of a process show its progress every few milliseconds, not once a minute."""

    def setup(self, trainer, pl_module, stage):
        displays._MINUTE = 0.02


def read(folder):
    """The metrics of every validation and test, by rank."""
    files = sorted(Path(folder).glob("rank*.jsonl"))
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
