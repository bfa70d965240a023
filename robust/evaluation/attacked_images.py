"""Which samples a suite attacks, in which order: the test set's, or training images at random."""

from typing import final

import numpy as np
import torch

from robust.data import ImageDataModule
from robust.errors import ConfigError
from robust.types import Batch
from robust.vocabulary import Split


@final
class AttackedImages:
    """The samples of a split, each with its place in their order as its index.

    That training images are attacked belongs to a paper's protocol and so to its suite. Were it a
    setting of the data, a run would log its training accuracy as that of the test set.

    Args:
        data: Whose samples.
        split: Which of them.
        seed: Of the order of the training images, 0 to 2**32 - 1.

    Raises:
        ConfigError: If an order would follow from another seed.
    """

    def __init__(self, data: ImageDataModule, split: Split, seed: int) -> None:
        self.data, self.split = data, split
        if split == "test":
            self.size = data.test_size
            return
        if not 0 <= seed < 2**32:
            raise ConfigError(
                f"Expected `seed` to be 0 to 2**32 - 1, but got {seed}. Choose another one."
            )
        self.size = len(data.train_labels)
        # Its stream is frozen; that of torch and of numpy's Generator may change.
        self._order = torch.from_numpy(np.random.RandomState(seed).permutation(self.size))

    def at_most(self, limit: int | None) -> int:
        """Return how many there are, or the limit if that is less."""
        return self.size if limit is None else min(limit, self.size)

    def samples(self, start: int, stop: int) -> Batch:
        """Samples ``start`` to ``stop - 1`` on the CPU, float32 in [0, 1].

        Raises:
            ConfigError: If there are not so many.
        """
        if self.split == "test":
            return self.data.test_samples(start, stop)
        if not 0 <= start <= stop <= self.size:
            raise ConfigError(
                f"Expected a range within the {self.size} training samples of {self.data.name}, "
                f"but got {start} to {stop}. Ask for at most {self.size} samples."
            )
        batch = self.data.train_samples(self._order[start:stop])
        return batch._replace(index=torch.arange(start, stop))

    def fingerprint(self) -> str:
        """16 hex digits that two pools share if their samples are the same in the same order."""
        if self.split == "test":
            return self.data.fingerprint(self.size)
        return self.data.train_fingerprint(self._order)
