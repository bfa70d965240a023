"""A run says how long each of its epochs took to train, and how well it knows what it trains on."""

import time
from collections.abc import Iterator
from typing import final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from robust.attacks import isolated
from robust.data.of_trainer import image_module
from robust.results.metrics_csv import SECONDS, TRAINING_ACCURACY
from robust.types import Batch

_LEAST, _MOST = 100, 1000
"""Training images that are looked at: a tenth of an epoch's, but no fewer and no more."""


@final
class TrainingSeconds(Callback):
    """Logs the wall time of each epoch's batches, without validation, as ``train/seconds``."""

    def __init__(self) -> None:
        self._seconds = self._begun = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._seconds = 0.0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Look at the clock."""
        self._begun = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Count the batch."""
        self._seconds += time.perf_counter() - self._begun

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the sum, of several processes their mean."""
        pl_module.log(SECONDS, self._seconds, sync_dist=True)


@final
class TrainingAccuracy(Callback):
    """Logs the clean accuracy on the first training images as ``train/clean_acc``, each epoch.

    These are a tenth of an epoch, from 100 to 1000, without augmentation. Of an epoch that was cut
    short there are no more than it had. Figure 3 of Wang et al. 2018 has it
    (https://arxiv.org/abs/1809.08516).
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Classify them as the deployed defense does."""
        data = image_module(trainer)
        if data is None:
            return
        seen = int(trainer.num_training_batches * data.batch_size)
        limit = min(seen, max(_LEAST, seen // 10), _MOST)
        try:
            right = self._right(pl_module, data.trained(limit))
        except Exception:
            pl_module.eval()  # the mode in which it failed is told with the error
            raise
        pl_module.log(TRAINING_ACCURACY, sum(right) / len(right), sync_dist=True)

    @staticmethod
    def _right(defense: LightningModule, batches: Iterator[Batch]) -> list[bool]:
        right: list[bool] = []
        with isolated(defense, defense.device, seed=0), torch.no_grad():
            for batch in batches:
                predicted = defense(batch.x.to(defense.device)).argmax(dim=1).cpu()
                right += (predicted == batch.y).tolist()
        return right
