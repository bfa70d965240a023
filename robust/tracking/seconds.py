"""A run says how long each of its epochs took to train, which is what a defense costs."""

import time
from typing import final

from lightning.pytorch import Callback, LightningModule, Trainer

from robust.results.metrics_csv import SECONDS


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
