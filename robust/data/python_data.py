"""Data modules of what a caller has in Python: images and labels, a Dataset, a DataLoader."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    default_collate,
)
from torch.utils.data import Dataset as TorchDataset

from robust.data.arrays import ROUNDING, data_of, images_of, labels_of
from robust.data.datamodule import ImageDataModule
from robust.data.files.decoding import Decoding, UnusableImage
from robust.data.files.sources import Opened
from robust.data.files.workers import in_order
from robust.data.samples import Dataset, Indices, Pixels, Samples, StoredImages, no_samples
from robust.errors import ConfigError
from robust.io.notes import note

AnyData = ImageDataModule | TorchDataset[Any] | DataLoader[Any] | tuple[Any, Any]
"""Images with labels, as a data module or as what `module_of` takes."""
_IN_MEMORY = 512 << 20
"""Bytes of images that are read once and kept."""
_CHUNK = 64
_BATCH = 128
_NAME = "dataset"


def module_of(data: Any, limit: int | None = None, *, training: bool = False) -> Any:  # noqa: ANN401
    """Return a data module of a Dataset, a DataLoader or images with labels; else what is given.

    The order is that of the Dataset, whatever a DataLoader shuffles.

    Args:
        data: Gives pairs of image and label: images of PIL, or tensors or arrays (C, H, W), uint8
            or of floating point in [0, 1]. A DataLoader gives batches of them.
        limit: Number of samples that count, from the first; all if None.
        training: Whether they are training images, read again in every epoch; else test images.

    Raises:
        ConfigError: If it gives something else.
    """
    if isinstance(data, tuple | list) and len(data) == 2:
        return data_of(*data)
    if isinstance(data, DataLoader):
        return _of_loader(data, limit, training)
    if isinstance(data, TorchDataset):
        return _of_dataset(data, limit, training, 0, _BATCH)
    return data


def check_named(module: ImageDataModule, data: object) -> None:
    """Raise unless a file can say on which data a run was trained.

    Args:
        module: The data module.
        data: What it was made from.

    Raises:
        ConfigError: If it lies in memory alone.
    """
    if not module.is_named:
        raise ConfigError(
            "Expected data that a file can name to save a run, but got a "
            f"{type(data).__name__} of Python. Give robust.ImageDataModule('imagefolder:DIR') or "
            "the path of an .npz file."
        )


class DatasetImages(StoredImages):
    """Images of a Dataset, read when they are asked for.

    Args:
        dataset: Gives pairs of image and label.
        count: Number of its items that count.
        shape: (C, H, W), which each image must have.
        workers: Number of processes that read batches ahead.
    """

    def __init__(
        self, dataset: TorchDataset[Any], count: int, shape: tuple[int, int, int], workers: int
    ) -> None:
        super().__init__((count, *shape), workers)
        self._dataset = dataset

    def take(self, index: Indices) -> Pixels:
        """Read some images.

        Raises:
            ConfigError: If one of them cannot be used or has another shape.
        """
        return self.read(index)[0]

    def read(self, index: Indices) -> tuple[Pixels, Tensor]:
        """Read some images with their labels.

        Raises:
            ConfigError: If one of them cannot be used or has another shape.
        """
        made = torch.empty((len(index), *self.shape[1:]), dtype=torch.uint8)
        labels = torch.empty(len(index), dtype=torch.int64)
        for row, i in enumerate(index.tolist()):
            image, label = _pair(self._dataset[i], i)
            pixels = _pixels(image, i)
            if pixels.shape != made.shape[1:]:
                raise ConfigError(
                    f"Expected images of one shape from the Dataset, but item {i} has "
                    f"{tuple(pixels.shape)} and item 0 {self.shape[1:]}. Resize and crop them."
                )
            made[row], labels[row] = pixels, _label(label, i)
        return made, labels

    def digest(self, stop: int) -> bytes:
        """Return a hash of the pixels of the first ``stop`` images.

        Raises:
            ConfigError: If one of them cannot be used.
        """
        digest = hashlib.sha256()
        for start in range(0, stop, _CHUNK):
            digest.update(self[start : min(start + _CHUNK, stop)].numpy().tobytes())
        return digest.digest()


def _of_dataset(
    dataset: Any,  # noqa: ANN401
    limit: int | None,
    training: bool,
    workers: int,
    batch_size: int,
) -> ImageDataModule:
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise ConfigError(
            f"Expected a Dataset with a length and items, but {type(dataset).__name__} is read in "
            "order alone. Give a DataLoader of it."
        )
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if not count:
        raise ConfigError(f"Expected images in the {type(dataset).__name__}, but it is empty.")
    first = _pixels(_pair(dataset[0], 0)[0], 0)
    _tell_rounding(_pair(dataset[0], 0)[0])
    channels, height, width = first.shape
    images = DatasetImages(dataset, count, (channels, height, width), workers)
    if training or math.prod(images.shape) > _IN_MEMORY:
        samples = Samples(images, _labels(dataset, images, count))
    else:
        samples = _read(images)
    name = _name_of(dataset)
    return _module(name, samples, _classes(dataset), training=training, batch_size=batch_size)


def _of_loader(loader: DataLoader[Any], limit: int | None, training: bool) -> ImageDataModule:
    batch_size = loader.batch_size or _BATCH
    if _is_plain(loader):
        return _of_dataset(loader.dataset, limit, training, loader.num_workers, batch_size)
    parts = list(_batches(loader, limit))
    if not parts:
        raise ConfigError("Expected images from the DataLoader, but it gives none.")
    x = torch.cat([images for images, _ in parts])[:limit]
    y = torch.cat([labels for _, labels in parts])[:limit]
    name, classes = _name_of(loader.dataset), _classes(loader.dataset)
    return _module(name, Samples(x, y), classes, training=training, batch_size=batch_size)


def _is_plain(loader: DataLoader[Any]) -> bool:
    """Whether a loader only gathers items of a Dataset, so that they can be read by index."""
    return (
        hasattr(loader.dataset, "__getitem__")
        and hasattr(loader.dataset, "__len__")
        and loader.collate_fn is default_collate
        and type(loader.sampler) in (SequentialSampler, RandomSampler)
        and type(loader.batch_sampler) in (BatchSampler, type(None))
    )


def _batches(loader: DataLoader[Any], limit: int | None) -> Iterator[tuple[Pixels, Tensor]]:
    seen = 0
    for batch in loader:
        images, labels = _pair(batch, None)
        x = images_of(images)
        if not seen:
            _tell_rounding(x)
        yield (x * 255).round().byte().cpu(), labels_of(labels, len(x)).cpu()
        seen += len(x)
        if limit is not None and seen >= limit:
            return


def _module(
    name: str, samples: Samples, classes: Sequence[str], *, training: bool, batch_size: int
) -> ImageDataModule:
    _, channels, height, width = samples.x.shape
    empty = no_samples((channels, height, width))
    data = Dataset(samples, empty) if training else Dataset(empty, samples)
    count = max(int(samples.y.max()) + 1, len(classes))
    opened = Opened(name, data, count, tuple(classes))
    return ImageDataModule.from_opened(opened, batch_size=batch_size)


def _read(images: DatasetImages) -> Samples:
    chunks = torch.split(torch.arange(len(images)), _CHUNK)
    parts = list(in_order(images.read, chunks, images.workers))
    return Samples(torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]))


def _labels(dataset: Any, images: DatasetImages, count: int) -> Tensor:  # noqa: ANN401
    """Labels that the Dataset has beside its images, as torchvision's do; else read with them."""
    for key in ("targets", "labels"):
        known = getattr(dataset, key, None)
        changed = getattr(dataset, "target_transform", None) is not None
        is_list = isinstance(known, list | Tensor | np.ndarray) and len(known) == len(dataset)
        if is_list and not changed:
            return labels_of(known, len(dataset))[:count]
    chunks = torch.split(torch.arange(count), _CHUNK)
    return torch.cat([y for _, y in in_order(images.read, chunks, images.workers)])


def _pair(item: Any, i: int | None) -> tuple[Any, Any]:  # noqa: ANN401
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    what = "a batch of the DataLoader" if i is None else f"item {i} of the Dataset"
    raise ConfigError(
        f"Expected a pair of image and label as {what}, but got {type(item).__name__}. Wrap it in "
        "a Dataset that returns pairs."
    )


def _pixels(image: Any, i: int) -> UInt8[Tensor, "c h w"]:  # noqa: ANN401
    try:
        if isinstance(image, Image):
            return Decoding().pixels_of(image)
        array = torch.as_tensor(np.asarray(image) if not isinstance(image, Tensor) else image)
        x = images_of(array[None, None] if array.ndim == 2 else array[None])
    except (UnusableImage, ConfigError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"Expected an image of PIL, or (C, H, W) in [0, 1] or uint8, as item {i} of the "
            f"Dataset, but: {error}"[:298]
        ) from None
    return (x[0] * 255).round().byte().cpu()


def _label(label: Any, i: int) -> int:  # noqa: ANN401
    number = label.item() if isinstance(label, Tensor | np.generic) and label.size else label
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ConfigError(
            f"Expected an integer from 0 on as the label of item {i} of the Dataset, but got "
            f"{str(label)[:60]}."
        )
    return number


def _tell_rounding(image: Any) -> None:  # noqa: ANN401
    if isinstance(image, Tensor) and image.is_floating_point():
        levels = image.detach() * 255
        if (levels - levels.round()).abs().max() > ROUNDING:
            note("pixels are no multiples of 1/255; they are rounded to the nearest.")


def _classes(dataset: Any) -> tuple[str, ...]:  # noqa: ANN401
    inner = dataset.dataset if isinstance(dataset, Subset) else dataset
    names = getattr(inner, "classes", None)
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _name_of(dataset: Any) -> str:  # noqa: ANN401
    return type(dataset).__name__ if isinstance(dataset, TorchDataset) else _NAME
