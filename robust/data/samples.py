"""Images as bytes with their labels: in memory, or read one by one from where they are stored."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from robust.data.files.workers import in_order
from robust.errors import ConfigError
from robust.types import Labels

Pixels = UInt8[Tensor, "n c h w"]
Indices = Int64[Tensor, " _"]

_CHUNK = 64
"""Images that are tried together."""
_MOST_IN_MEMORY = 4 << 30
"""Bytes of images that are read into memory at most, where something needs all of them."""


class StoredImages(ABC):
    """Images that are stored elsewhere and read when they are asked for.

    A slice or indices give their pixels, as of a tensor in memory.

    Args:
        shape: (N, C, H, W), N being the number of images.
        workers: Number of processes that read batches ahead; 0 reads in this one.
    """

    def __init__(self, shape: tuple[int, int, int, int], workers: int = 0) -> None:
        self.shape = shape
        self.workers = workers

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | Tensor) -> Pixels:
        """Return the pixels of some images."""
        if isinstance(chosen, slice):
            chosen = torch.arange(*chosen.indices(len(self)))
        return self.take(chosen)

    @abstractmethod
    def take(self, index: Indices) -> Pixels:
        """Read some images.

        Raises:
            ConfigError: If one of them cannot be read.
        """

    def check(self) -> None:
        """Raise unless every image can be read.

        Raises:
            ConfigError: With the first that cannot.
        """
        for _ in in_order(self._try, torch.split(torch.arange(len(self)), _CHUNK), self.workers):
            pass

    def _try(self, chunk: Indices) -> None:
        self.take(chunk)

    @abstractmethod
    def digest(self, stop: int) -> bytes:
        """Return a hash of all that decides the pixels of the first ``stop`` images.

        Raises:
            ConfigError: If one of them cannot be read.
        """


class Samples(NamedTuple):
    """Samples are images as bytes, 0 to 255, with their labels from 0 on."""

    x: Pixels | StoredImages
    y: Labels


class Dataset(NamedTuple):
    """The two parts of an image set, in their original order; one of them may be empty."""

    train: Samples
    test: Samples


def no_samples(shape: tuple[int, int, int]) -> Samples:
    """Return no samples of images of ``shape`` (C, H, W)."""
    return Samples(torch.zeros((0, *shape), dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))


def take(x: Pixels | StoredImages, index: Indices) -> UInt8[Tensor, "m c h w"]:
    """Return a copy of some images."""
    if isinstance(x, StoredImages):
        return x.take(index)
    # Copies complete images: an eighth of the time of `x[index]`.
    return torch.from_numpy(x.numpy().take(index.numpy(), axis=0))


def in_memory(x: Pixels | StoredImages, name: str) -> Pixels:
    """Return all images, read into memory if they are not there.

    Args:
        x: The images.
        name: Of their set, for the message.

    Raises:
        ConfigError: If they are too many.
    """
    if not isinstance(x, StoredImages):
        return x
    n, channels, height, width = x.shape
    size = n * channels * height * width
    if size > _MOST_IN_MEMORY:
        raise ConfigError(
            f"Expected images that fit in memory, since this needs all of {name} at once, but got "
            f"{size / 2**30:.1f} GiB. Give a smaller `data.init_args.size`, or fewer images."
        )
    return x[:]
