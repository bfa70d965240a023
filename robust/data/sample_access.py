"""A data module gives samples by index, outside of loaders, and their fingerprints."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Float
from lightning.pytorch import LightningDataModule
from torch import Tensor

from robust.data.fingerprint import fingerprint
from robust.data.loaders import Positions, split
from robust.data.samples import Dataset, Pixels, Samples, StoredImages, in_memory
from robust.errors import ConfigError
from robust.types import Batch, Labels


def to_unit_interval(x: Pixels) -> Float[Tensor, "n c h w"]:
    """Return bytes as float32 in [0, 1]."""
    if x.is_cpu:
        # On this thread alone: where other processes keep the cores busy, waking torch's threads
        # takes longer than a batch.
        return torch.from_numpy(np.divide(x.numpy(), np.float32(255), dtype=np.float32))
    # By a tensor: CUDA multiplies by the inverse of a number, whose pixels differ from the CPU's.
    return x.float().div_(torch.full((), 255.0, device=x.device))


class ImageSamples(LightningDataModule, ABC):
    """A data module gives samples by their indices, on the CPU."""

    name: str
    val_fraction: float
    seed: int
    eval_batch_size: int

    @abstractmethod
    def _loaded(self) -> Dataset:
        """The set, read unless it is already."""

    @property
    def train_images(self) -> Pixels:
        """All training images as bytes, those held out for validation too; not a copy.

        Image files are read into memory, as often as this is asked for.

        Raises:
            ConfigError: If there are none, or too many for that.
        """
        return in_memory(self._training().x, self.name)

    @property
    def train_labels(self) -> Labels:
        """Labels of all training images; not a copy.

        Raises:
            ConfigError: If there are none.
        """
        return self._training().y

    def train_samples(self, index: Labels) -> Batch:
        """Return training samples by their index, as those of `test_samples`."""
        train = self._loaded().train
        return Batch(to_unit_interval(train.x[index]), train.y[index], index)

    def train_fingerprint(self, order: Labels) -> str:
        """16 hex digits of all training samples and of the order in which they are attacked."""
        train = self._training()
        return fingerprint(train, len(train.y), order)

    @property
    def test_size(self) -> int:
        """Number of test samples."""
        return len(self._loaded().test.y)

    def test_samples(self, start: int, stop: int) -> Batch:
        """Return test samples ``start`` to ``stop - 1`` on the CPU, float32 in [0, 1].

        Raises:
            ConfigError: If the test set does not reach that far.
        """
        x, y = self._test_part(start, stop)
        return Batch(
            to_unit_interval(x[start:stop]), y[start:stop].clone(), torch.arange(start, stop)
        )

    def val_samples(self, limit: int) -> Batch:
        """Return the first ``limit`` validation samples, or all; as those of `test_samples`.

        Their ``index`` counts in the training array. Empty if ``val_fraction`` is 0.
        """
        return self.train_samples(self._held_out()[:limit])

    def fingerprint(self, stop: int) -> str:
        """16 hex digits that two runs share if their first ``stop`` test samples are the same.

        Raises:
            ConfigError: If the test set does not reach that far.
        """
        return fingerprint(self._test_part(0, stop), stop)

    def check_test_images(self, stop: int) -> None:
        """Read the first ``stop`` test images once, before anything is done with them.

        Raises:
            ConfigError: If the test set does not reach that far, or one of them is unusable.
        """
        x, _ = self._test_part(0, stop)
        if isinstance(x, StoredImages):
            for start in range(0, stop, self.eval_batch_size):
                x.take(torch.arange(start, min(start + self.eval_batch_size, stop)))

    def _test_part(self, start: int, stop: int) -> Samples:
        """Return all test samples, of which those from ``start`` on below ``stop`` exist."""
        test = self._loaded().test
        if not 0 <= start <= stop <= len(test.y):
            raise ConfigError(
                f"Expected a range within the {len(test.y)} test samples of {self.name}, but got "
                f"{start} to {stop}. Ask for at most {len(test.y)} samples."
            )
        return test

    def _training(self) -> Samples:
        train = self._loaded().train
        if not len(train.y):
            raise ConfigError(
                f"Expected training images in {self.name}, but it has test images alone. Give a "
                "folder with train and test, an .npz file with x_train, or a list with the column "
                "split."
            )
        return train

    def _held_out(self) -> Positions:
        n = len(self._loaded().train.y)
        return split(n, self.val_fraction, self.seed)[1] if n else torch.arange(0)


def shape_of(x: Pixels | StoredImages) -> tuple[int, int, int]:
    """Return (C, H, W) of images."""
    _, channels, height, width = x.shape
    return channels, height, width
