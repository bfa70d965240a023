"""Lightning's bar shows a training; what a test does at its end has a bar of its own."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any, Literal, final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import ProcessingSpeedColumn
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import BarColumn

from robust.tracking.progress.displays import Bar, Cell, Display, Lines, Silent
from robust.tracking.progress.status import Status, duration


def place() -> Literal["terminal", "notebook", "log"]:
    """Return where standard error goes to."""
    console = Console(stderr=True)
    if console.is_jupyter:
        return "notebook"
    is_terminal = sys.stderr.isatty() and not console.is_dumb_terminal
    return "terminal" if is_terminal else "log"


def _display() -> Display:
    match place():
        case "terminal":
            return Bar(Console(stderr=True))
        case "notebook":
            return Cell()
    return Lines()


@contextlib.contextmanager
def shown(trainer: Trainer) -> Iterator[Display]:
    """Yield where to show what a callback does, in the place of the trainer's own bar.

    Only the first process shows anything, and only where the trainer has a bar.

    Args:
        trainer: Whose bar is put aside meanwhile.
    """
    bar = trainer.progress_bar_callback
    if bar is None or not trainer.is_global_zero or getattr(bar, "refresh_rate", 1) == 0:
        yield Silent()
        return
    with _aside(trainer), _display() as display:
        yield display


@contextlib.contextmanager
def _aside(trainer: Trainer) -> Iterator[None]:
    """Take Lightning's bar away; that of a training comes back."""
    bar = trainer.progress_bar_callback
    progress = bar.progress if isinstance(bar, RichProgressBar) else None
    if not isinstance(bar, RichProgressBar) or progress is None:
        yield
        return
    is_training = trainer.state.fn is TrainerFn.FITTING
    for task in (bar.test_progress_bar_id, bar.val_progress_bar_id):
        if task is not None:
            progress.update(task, visible=False)
    progress.live.transient = is_training
    progress.stop()
    try:
        yield
    finally:
        progress.live.transient = False
        if is_training:
            progress.start()


def progress_bar() -> RichProgressBar:
    """Return a progress bar on standard error, since standard output is for results."""
    return _Bar(refresh_rate=_REFRESHED, console_kwargs={"stderr": True})


_REFRESHED = 10
"""Times in a second at most."""


@final
class _Bar(RichProgressBar):
    """It counts epochs from 1, and fits a training in one line of 80 columns.

    It shows no ``v_num``: Lightning cuts the id of a run to its last four letters. Outside of a
    terminal a training has a display of ours.
    """

    _display: Display | None = None
    _start = 0.0

    @property
    def is_enabled(self) -> bool:
        """Whether rich shows it, which needs a terminal."""
        return super().is_enabled and place() == "terminal"

    @property
    def test_description(self) -> str:
        """What a test does before anything is attacked."""
        return "Clean accuracy"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a display, unless rich has a terminal."""
        super().on_train_start(trainer, pl_module)
        self._start = time.monotonic()
        if super().is_enabled and not self.is_enabled:
            self._display = _display()

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:  # noqa: ANN401
        """Show how far the training is, if it is time."""
        super().on_train_batch_end(trainer, *arguments)
        if self._display is not None:
            self._display.offer(self._status)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last status."""
        super().on_train_end(trainer, pl_module)
        if self._display is not None:
            self._display.show(self._status())
            self._display = None

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Return Lightning's columns, the bar narrower and without the batches in a second."""
        columns = [c for c in super().configure_columns(trainer) if not _is_speed(c)]
        for column in columns:
            if isinstance(column, BarColumn):
                column.bar_width = _NARROW
        return columns

    def _get_train_description(self, current_epoch: int) -> str:
        return self._epoch(current_epoch).ljust(len(self.validation_description))

    def _epoch(self, current_epoch: int) -> str:
        epochs = self.trainer.max_epochs
        last = f" of {epochs}" if epochs is not None and epochs > 0 else ""
        return f"Epoch {current_epoch + 1}{last}"

    def _status(self) -> Status:
        trainer = self.trainer
        epoch, batch = trainer.current_epoch, trainer.fit_loop.batch_idx + 1
        if batch == 0 or trainer.fit_loop.done:  # it counts on at the end of the last epoch
            epoch, batch = max(0, epoch - 1), int(self.total_train_batches)
        numbers = self.get_metrics(trainer, trainer.lightning_module)
        told = (f"{name} {float(number):.3f}" for name, number in numbers.items())  # type: ignore[arg-type]
        gone = f"{duration(time.monotonic() - self._start)} gone"
        total = self.total_train_batches
        return Status(self._epoch(epoch), batch, int(total), "batches", (gone, *told))

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the numbers of the training alone."""
        shown = super().get_metrics(trainer, pl_module)
        return {short: shown[name] for name, short in _SHORT.items() if name in shown}


_SHORT = {"train/loss": "loss", "val/clean_acc": "val acc"}
"""What fits; all that is logged is in ``metrics.csv``."""
_NARROW = 10


def _is_speed(column: object) -> bool:
    return isinstance(column, ProcessingSpeedColumn)
