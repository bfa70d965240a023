"""Which checkpoints a run keeps, and that they are whole at any time."""

import io
import os
from pathlib import Path
from typing import Any, Literal, final

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from robust.errors import ConfigError

BEST, LAST = "best.ckpt", "last.ckpt"
"""Names of checkpoints in the folder of a run, as an evaluation of that run prefers them."""


@final
class BestCheckpoint(ModelCheckpoint):
    """Keeps the net of the epoch that validation likes best beside that of the last one.

    The test after the training, and every evaluation of the run by its folder, takes
    ``checkpoints/best.ckpt``; a training goes on from ``last.ckpt``. Zantedeschi et al. 2017 train
    so (https://arxiv.org/abs/1707.06728; in their code, the paper does not say it).

    Args:
        monitor: What validation logs, such as ``val/clean_acc``, ``val/loss``, or, with
            ``evaluation.every_n_epochs``, ``val/worst_robust_acc/adaptive``.
        mode: Whether the best is the ``max`` or the ``min``. Of equals the first counts.
    """

    def __init__(self, monitor: str = "val/clean_acc", mode: Literal["min", "max"] = "max") -> None:
        super().__init__(
            filename=Path(BEST).stem, monitor=monitor, mode=mode, enable_version_counter=False
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the net if it is the best so far.

        Raises:
            ConfigError: If there should have been a validation, but ``monitor`` was not logged.
        """
        logged, period = trainer.callback_metrics, trainer.check_val_every_n_epoch or 1
        if self.monitor not in logged and (trainer.current_epoch + 1) % period == 0:
            raise ConfigError(
                f"Expected validation to log {self.monitor}, by which BestCheckpoint chooses, but "
                f"got {', '.join(sorted(logged)) or 'nothing'}. Set its `monitor`, and hold images "
                "out for validation (--data.val_fraction=0.05)."
            )
        super().on_train_epoch_end(trainer, pl_module)

    @staticmethod
    def of(trainer: Trainer) -> "BestCheckpoint | None":
        """That of ``trainer``, once it has kept a net."""
        own = (c for c in trainer.checkpoint_callbacks if isinstance(c, BestCheckpoint))
        return next((callback for callback in own if callback.best_model_path), None)

    def __str__(self) -> str:
        """What it kept, for people."""
        return f"{BEST}, of the best {self.monitor} ({self.best_model_score:.4g})"


@final
class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the earlier one and then puts it in its place.

    Lightning writes it to the system's temporary folder and moves it. To another file system that
    is a copy onto the earlier checkpoint: on a full disk, or in a process that is killed then,
    neither is left.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: _PATH,
        storage_options: Any | None = None,  # noqa: ANN401
    ) -> None:
        """Replace the file at ``path``, or leave it as it is.

        Raises:
            OSError: If it cannot be written.
        """
        path = Path(path)
        buffer = io.BytesIO()  # whose errors are not those of a full disk
        torch.save(checkpoint, buffer)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        try:
            with new.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
