"""A run keeps its last and best checkpoints, which are complete at any time."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from robust.checkpoints import CHECKSUMS, checksums
from robust.errors import ConfigError, nearest
from robust.io import files
from robust.results.run_folder import BEST


@final
class BestCheckpoint(ModelCheckpoint):
    """Keeps the network of the best epoch by validation, beside the last one.

    The test after the training, and every evaluation of the run by its folder, takes
    ``checkpoints/best.ckpt``. A training goes on from ``last.ckpt``. The code of Zantedeschi et al.
    2017 does this (https://arxiv.org/abs/1707.06728), but their paper does not say it.

    Args:
        monitor: A metric of validation, such as ``val/clean_acc``, ``val/loss``, or, with
            ``evaluation.every_n_epochs``, ``val/worst_robust_acc/adaptive``.
        mode: Whether the best is the ``max`` or the ``min``. Of equals the first counts. A network
            that will not be deployed does not count, such as the teacher in distillation.
    """

    def __init__(self, monitor: str = "val/clean_acc", mode: Literal["min", "max"] = "max") -> None:
        super().__init__(
            filename=Path(BEST).stem, monitor=monitor, mode=mode, enable_version_counter=False
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the best so far, if this folder still has it.

        Lightning would forget it in a folder that was moved or has another path.
        """
        assert self.dirpath is not None, "Lightning calls `setup` first"
        kept = Path(self.dirpath) / BEST
        score = state_dict["best_model_score"]
        if score is None or not kept.is_file():
            return
        folder = {"dirpath": self.dirpath, "last_model_path": ""}
        best = dict.fromkeys(("best_model_path", "kth_best_model_path"), str(kept))
        scores = {"best_k_models": {str(kept): score}}
        super().load_state_dict({**state_dict, **folder, **best, **scores})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that there will be a validation.

        Raises:
            ConfigError: If there are no images for it.
        """
        if not sum(trainer.num_val_batches):
            raise ConfigError(
                f"Expected images for the validation by whose {self.monitor} BestCheckpoint "
                "chooses, but got none. Hold some out (--data.val_fraction=0.05)."
            )
        super().on_train_start(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the network if it is the best so far.

        Raises:
            ConfigError: If ``monitor`` was not logged, and no callback logs it now and then.
        """
        training = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if training and not _is_logged_now_and_then(trainer):
            self._check_logged(trainer)
        if self._may_keep(trainer, pl_module):
            super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the network if it is the best so far."""
        if self._may_keep(trainer, pl_module):
            super().on_train_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that there is a best network.

        Raises:
            ConfigError: If ``monitor`` was never logged though it might have been.
        """
        super().on_train_end(trainer, pl_module)
        if _is_logged_now_and_then(trainer) and not self.best_model_path:
            self._check_logged(trainer)

    def _may_keep(self, trainer: Trainer, pl_module: LightningModule) -> bool:
        """Return whether the metric is there, and the network will be deployed."""
        deployable = getattr(pl_module, "is_deployable", True)
        return deployable and self.monitor in trainer.callback_metrics

    def _check_logged(self, trainer: Trainer) -> None:
        logged = trainer.callback_metrics
        if self.monitor not in logged:
            raise ConfigError(
                f"Expected validation to log {self.monitor}, by which BestCheckpoint chooses, but "
                f"got {', '.join(sorted(logged)) or 'nothing'}. Set its `monitor` to one of them."
                f"{nearest(self.monitor, logged)}"
            )

    @staticmethod
    def find_in(trainer: Trainer) -> "BestCheckpoint | None":
        """Return the one of ``trainer``, once it has kept a network."""
        own = (c for c in trainer.checkpoint_callbacks if isinstance(c, BestCheckpoint))
        return next((callback for callback in own if callback.best_model_path), None)

    def __str__(self) -> str:
        """Return what it kept, for a message."""
        return f"{BEST}, of the best {self.monitor} ({self.best_model_score:.4g})"


def _is_logged_now_and_then(trainer: Trainer) -> bool:
    """Return whether a callback such as `AttackEvaluation` logs only every so many epochs."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return any(getattr(callback, "every_n_epochs", 0) > 1 for callback in callbacks)


def forget_other_files(trainer: Trainer, checkpoint: Mapping[str, Any]) -> None:
    """Leave out of a checkpoint the names of files that are not those of the trainer's callbacks.

    Lightning removes what the state of a `ModelCheckpoint` names, even a folder. It compares paths
    as text, for which `checkpoints/../..` is below `checkpoints`.

    Args:
        trainer: Its callbacks are about to load their states.
        checkpoint: What they load, which is changed.
    """
    states = checkpoint.get("callbacks")
    for callback in trainer.checkpoint_callbacks:
        state = states.get(callback.state_key) if isinstance(states, Mapping) else None
        if not isinstance(callback, ModelCheckpoint) or not isinstance(state, dict):
            continue
        folder = Path(callback.dirpath or "")
        for key in _PATHS:
            if key in state and not _is_checkpoint_in(folder, state[key]):
                state[key] = ""
        if isinstance(kept := state.get("best_k_models"), Mapping):
            own = {path: kept[path] for path in kept if _is_checkpoint_in(folder, path)}
            state["best_k_models"] = own


_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")
"""Keys of a `ModelCheckpoint`'s state whose files it may remove."""


def _is_checkpoint_in(folder: Path, path: object) -> bool:
    """Return whether a path is of a checkpoint below a folder, by no link."""
    if not isinstance(path, str) or not path.endswith(".ckpt") or not Path(path).is_file():
        return False
    return not Path(path).is_symlink() and Path(path).resolve().is_relative_to(folder.resolve())


@final
class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint with its checksums to a new file, then renames it.

    Lightning writes it to the system's temporary folder and moves it. To another file system that
    is a copy onto the earlier checkpoint. On a full disk, or in a process that is killed then,
    neither would remain.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: _PATH,
        storage_options: Any | None = None,  # noqa: ANN401
    ) -> None:
        """Replace the file at ``path``, or leave it as it is.

        Raises:
            ConfigError: If its folder is a symbolic link.
            OSError: If it cannot be written.
        """
        path = Path(path)
        buffer = io.BytesIO()  # whose errors are not those of a full disk
        torch.save({**checkpoint, CHECKSUMS: checksums(checkpoint)}, buffer)
        files.own_folder(path.parent)
        with files.replacing(path) as file:
            file.write(buffer.getbuffer())
