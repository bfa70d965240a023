"""Images of a loader that somebody's Trainer has, as a data module of test images."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from robust.data import ImageDataModule
from robust.data.python_data import module_of
from robust.errors import ConfigError
from robust.networks.foreign import per_channel


class Normalization(NamedTuple):
    """What the images of a loader are normalized with, which its network was trained on."""

    mean: Any = None
    """Numbers: one a channel, or one for all; none if the images are in [0, 1]."""
    std: Any = None

    def checked(self) -> "Normalization":
        """Return it as it is.

        Raises:
            ConfigError: If only one of mean and std is given.
        """
        if (self.mean is None) != (self.std is None):
            raise ConfigError(
                "Expected both `mean` and `std` or none of them, but got one. Give the other, too."
            )
        return self

    def for_channels(self, count: int) -> "Normalization":
        """Return it with one number for each channel.

        Raises:
            ConfigError: If there are other than one or ``count`` numbers.
        """
        mean, std = (per_channel(getattr(self, name), count, name) for name in self._fields)
        return Normalization(mean, std)


class Read(NamedTuple):
    """A data module of a loader's images, and what these are normalized with."""

    data: ImageDataModule
    normalization: Normalization


def read(loader: Any, normalization: Normalization, limit: int | None) -> Read:  # noqa: ANN401
    """Return the images of a loader in pixels of [0, 1], in the order of its Dataset.

    Args:
        loader: Gives batches (x, y), as a DataLoader or another iterable does.
        normalization: What its images are normalized with.
        limit: Number of images, from the first; all if None.

    Raises:
        ConfigError: If it gives something else, or its images are no pixels so.
    """
    ordered = _in_order(loader)
    x = _first_images(ordered)
    channels = normalization.for_channels(x.shape[1] if x.ndim > 1 else 1)
    if channels.mean is None:
        _check_range(x)
        return Read(module_of(ordered, limit), channels)
    return Read(module_of(_changed(ordered, _Pixels(*channels)), limit), channels)


def _in_order(loader: Any) -> "DataLoader[Any]":  # noqa: ANN401
    """The loader without an order of its own, so that each process has the same images."""
    if isinstance(loader, list | tuple) and len(loader) == 1:
        loader = loader[0]
    if isinstance(loader, DataLoader) and isinstance(loader.sampler, _ORDERS):
        size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", 1)
        workers, collate = loader.num_workers, loader.collate_fn
        return DataLoader(loader.dataset, size, num_workers=workers, collate_fn=collate)
    if not isinstance(loader, Iterable) or isinstance(loader, list | tuple | dict):
        raise ConfigError(
            f"Expected one loader of images and labels to attack, but got "
            f"{type(loader).__name__}. Give the Trainer one DataLoader."
        )
    if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        raise ConfigError(
            "Expected a DataLoader of a Dataset with items on several processes, but got one that "
            "each reads in an order of its own. Use one process, devices=1."
        )
    return DataLoader(Batches(loader), batch_size=None, collate_fn=_as_it_is)


_ORDERS = (SequentialSampler, RandomSampler, DistributedSampler)


class Batches(IterableDataset[Any]):
    """Batches of an iterable."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401
    return batch


def _first_images(loader: "DataLoader[Any]") -> Tensor:
    """The images of the first batch, read in this process."""
    some: Iterable[Any] = loader
    if not isinstance(loader.dataset, IterableDataset):
        some = DataLoader(loader.dataset, loader.batch_size, collate_fn=loader.collate_fn)
    batch = next(iter(some), None)
    if not isinstance(batch, list | tuple) or len(batch) != 2:
        got = "nothing" if batch is None else type(batch).__name__
        raise ConfigError(
            f"Expected batches (x, y) of images and labels to attack, but got {got}. Give the "
            "Trainer such a loader, or use robust.evaluate with your own."
        )
    return torch.as_tensor(batch[0])


def _check_range(x: Tensor) -> None:
    if x.is_floating_point() and x.numel() and not (x.min() >= 0 and x.max() <= 1):
        raise ConfigError(
            f"Expected pixels in [0, 1] to attack, but the loader gives {float(x.min()):.4g} to "
            f"{float(x.max()):.4g}. Say what it normalizes with: robust.AttackEvaluation(suite, "
            "mean=..., std=...)."
        )


def _changed(loader: "DataLoader[Any]", change: Callable[[Any], Any]) -> "DataLoader[Any]":
    return DataLoader(
        loader.dataset,
        loader.batch_size,
        num_workers=loader.num_workers,
        collate_fn=_Then(loader.collate_fn, change),
    )


class _Then:
    """One function after another, which worker processes can be sent."""

    def __init__(self, first: Callable[[Any], Any], then: Callable[[Any], Any]) -> None:
        self._first, self._then = first, then

    def __call__(self, items: Any) -> Any:  # noqa: ANN401
        return self._then(self._first(items))


class _Pixels:
    """Normalized images back to pixels.

    Args:
        mean: One number a channel.
        std: As ``mean``.
    """

    def __init__(self, mean: list[float], std: list[float]) -> None:
        self._mean, self._std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (mean, std))

    def __call__(self, batch: Any) -> Any:  # noqa: ANN401
        normalized, y = batch
        x = normalized.float() * self._std + self._mean
        near = x.clamp(0, 1)
        return (near if (near - x).abs().max() < _ROUNDING else x), y


_ROUNDING = 1e-3
"""Half a byte's step is twice that: what normalized images lose is far less."""
