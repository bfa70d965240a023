"""Image sets as uint8 tensors: one entry of `DATASETS` each, or any ``.npz``."""

import difflib
from collections.abc import Callable, Iterable
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST
from torchvision.datasets.mnist import (
    read_image_file,
    read_label_file,
)

from robust.data.npz import read_arrays
from robust.data.toy import circles, moons
from robust.errors import ConfigError
from robust.types import Labels

Pixels = UInt8[Tensor, "n c h w"]

_MOST_CLASSES = 100_000
_OFFLINE = "or use `--data configs/data/digits.yaml`, which needs no download"


class Samples(NamedTuple):
    """Images as bytes, 0 to 255, with their labels from 0 on."""

    x: Pixels
    y: Labels


class Dataset(NamedTuple):
    """The two parts of an image set, in their original order."""

    train: Samples
    test: Samples


class Entry(NamedTuple):
    """A named set: its facts, how to read it from a root folder, how to get it there.

    Args:
        shape: (C, H, W).
        num_classes: Labels are smaller than this.
        load: Reads it from the root folder.
        download: Puts it into the root folder unless it is there; None if it needs no files.
    """

    shape: tuple[int, int, int]
    num_classes: int
    load: Callable[[Path], Dataset]
    download: Callable[[Path], None] | None = None


def load_named(name: str, root: Path) -> Dataset:
    """Read a set of `DATASETS` from ``root``.

    Raises:
        ConfigError: If its files are missing, damaged, or not those of this set.
    """
    entry = DATASETS[name]
    data = entry.load(root)
    for samples in data:
        shape, classes = tuple(samples.x.shape[1:]), int(samples.y.max()) + 1
        if shape != entry.shape or classes > entry.num_classes:
            raise ConfigError(
                f"Expected {name} in {root} to have images of shape {entry.shape} and "
                f"{entry.num_classes} classes, but got {shape} and {classes}. "
                "Replace the files by those of this set."
            )
    return data


def check_name(name: str) -> None:
    """Raise unless ``name`` is in `DATASETS`.

    Raises:
        ConfigError: With the nearest name.
    """
    if name in DATASETS:
        return
    near = difflib.get_close_matches(name.lower(), DATASETS, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else "Choose one of them."
    raise ConfigError(
        f"Expected `dataset` to be one of {', '.join(DATASETS)}, or a path that ends in .npz, "
        f"but got {name!r}. {hint}"
    )


def load_npz(path: Path) -> Dataset:
    """Read ``x_train``, ``y_train``, ``x_test``, ``y_test`` from ``path``, without running pickles.

    Images are uint8, (N, H, W) or (N, H, W, C); labels are integers from 0 on.

    Raises:
        ConfigError: If the file is missing, damaged, or holds anything else.
    """
    arrays = _read_npz(path)
    data = Dataset(*(_npz_samples(arrays, part, path) for part in ("train", "test")))
    train, test = (tuple(samples.x.shape[1:]) for samples in data)
    if train != test:
        raise ConfigError(
            f"Expected training and test images of one shape in {path}, but got {train} and {test} "
            "(channels, height, width). Resize one of them."
        )
    return data


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    keys = [f"{kind}_{part}" for part in ("train", "test") for kind in "xy"]
    if not path.is_file():
        raise ConfigError(
            f"Expected a data file at {path}, but there is no such file. "
            f"Correct the path, {_OFFLINE}."
        )
    return read_arrays(path, keys)


def _npz_samples(arrays: dict[str, NDArray[Any]], part: str, path: Path) -> Samples:
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    _check_images(x, f"`x_{part}` in {path}")
    _check_labels(y, f"`y_{part}` in {path}")
    if len(x) != len(y):
        raise ConfigError(
            f"Expected as many labels as images in {path}, but got {len(x)} in `x_{part}` and "
            f"{len(y)} in `y_{part}`. Write both from the same samples."
        )
    images = x[..., None] if x.ndim == 3 else x
    return Samples(_channels_first(images), torch.from_numpy(y.astype(np.int64)))


def _check_images(x: NDArray[Any], what: str) -> None:
    if x.dtype != np.uint8:
        raise ConfigError(
            f"Expected {what} to be uint8, but got {x.dtype}. Store pixels as 0 to 255; from "
            "[0, 1]: (x * 255).round().astype('uint8')."
        )
    if x.ndim not in (3, 4):
        raise ConfigError(
            f"Expected {what} to have 3 dimensions (N, H, W) or 4 (N, H, W, C), but got shape "
            f"{x.shape}. Reshape it."
        )
    if x.size == 0:
        raise ConfigError(
            f"Expected images in {what}, but got an empty array of shape {x.shape}. "
            "Put at least one there."
        )
    if x.ndim == 4 and x.shape[3] > 4:
        raise ConfigError(
            f"Expected {what} to have its 1 to 4 channels last, but got shape {x.shape}. "
            "Transpose it: x.transpose(0, 2, 3, 1)."
        )


def _check_labels(y: NDArray[Any], what: str) -> None:
    if not np.issubdtype(y.dtype, np.integer):
        raise ConfigError(
            f"Expected {what} to hold integer labels, but got {y.dtype}. Number the classes from 0."
        )
    if y.ndim != 1:
        raise ConfigError(
            f"Expected {what} to have 1 dimension, but got shape {y.shape}. "
            "Store the class of each image, not one-hot rows."
        )
    if y.size and y.max() >= _MOST_CLASSES:
        raise ConfigError(
            f"Expected labels below {_MOST_CLASSES} in {what}, but got {y.max()}. Number the "
            "classes from 0."
        )
    if y.size and y.min() < 0:
        raise ConfigError(
            f"Expected labels from 0 on in {what}, but got {y.min()}. Number the classes from 0."
        )


def _channels_first(images: NDArray[np.uint8]) -> Pixels:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def _idx_path(dataset: type[MNIST], root: Path, part: str, kind: str) -> Path:
    return root / dataset.__name__ / "raw" / f"{part}-{kind}-ubyte"


def _load_idx(dataset: type[MNIST], root: Path) -> Dataset:
    return Dataset(*(_idx_samples(dataset, root, part) for part in ("train", "t10k")))


def _idx_samples(dataset: type[MNIST], root: Path, part: str) -> Samples:
    images = _idx_path(dataset, root, part, "images-idx3")
    x = _read_idx(read_image_file, images)
    y = _read_idx(read_label_file, _idx_path(dataset, root, part, "labels-idx1"))
    if len(x) != len(y) or not len(x):
        raise ConfigError(
            f"Expected one label for each image of {images}, but got {len(x)} images and {len(y)} "
            f"labels. Delete {images.parent}, so that it is downloaded again."
        )
    return Samples(x.unsqueeze(1), y)


def _read_idx(read: Callable[[str], Tensor], path: Path) -> Tensor:
    if not path.is_file():
        raise _missing(path.parent, f"{path.name} is not there")
    try:
        return read(str(path))
    except Exception as error:  # of torchvision's reader, by what is damaged
        raise _damaged(path, _reason(error)) from None


def _download_idx(dataset: type[MNIST], root: Path) -> None:
    kinds = ("images-idx3", "labels-idx1")
    paths = [_idx_path(dataset, root, part, kind) for part in ("train", "t10k") for kind in kinds]
    _download(dataset, root, paths)


def _load_cifar10(root: Path) -> Dataset:
    packed = root / "cifar10.npz"
    if packed.is_file():
        return load_npz(packed)
    folder = root / CIFAR10.base_folder
    if not folder.is_dir():
        raise _missing(folder, "there is no such folder")
    try:
        return Dataset(*(_cifar10_samples(CIFAR10(root, train)) for train in (True, False)))
    except (OSError, RuntimeError):
        # torchvision compares checksums before it unpickles anything.
        raise _damaged(folder, "a file is missing or has not the official checksum") from None


def _cifar10_samples(dataset: CIFAR10) -> Samples:
    return Samples(_channels_first(dataset.data), torch.tensor(dataset.targets))


def _download_cifar10(root: Path) -> None:
    if (root / "cifar10.npz").is_file():
        return
    names = [name for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list)]
    folder = root / CIFAR10.base_folder
    _download(CIFAR10, root, [folder / name for name in (*names, CIFAR10.meta["filename"])])


def _download(dataset: type[MNIST] | type[CIFAR10], root: Path, paths: Iterable[Path]) -> None:
    absent = [path for path in paths if not path.is_file()]
    if not absent:
        return
    try:
        dataset(root, download=True)
    except (OSError, HTTPException, RuntimeError) as error:
        reason = f"{absent[0].name} is not there and downloading failed: {_reason(error)}"
        raise _missing(absent[0].parent, reason) from None


def _missing(folder: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"Expected the files of a dataset in {folder}, but got none that can be used ({reason}). "
        "Put them there, name their root folder with ROBUST_DATA_DIR or `data.init_args.root`, "
        f"download them on a machine with a network, {_OFFLINE}."
    )


def _damaged(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"Expected complete data at {path}, but it is truncated or damaged ({reason}). "
        "Delete it, so that it is downloaded again."
    )


def _reason(error: Exception) -> str:
    # torchvision lists every mirror on lines of its own; the last says what went wrong.
    lines = str(error).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), type(error).__name__)


def _load_digits(root: Path) -> Dataset:
    # Takes a second, and only this set needs it.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    y = bunch.target.astype(np.int64)
    x = torch.from_numpy(_resize_digits(bunch.images.astype(np.int64))).unsqueeze(1)
    # Every fifth of a shuffle sorted by class: 360 of 1797, stratified. RandomState's stream, so
    # the split too, is the same in every version of numpy.
    shuffled = np.random.RandomState(0).permutation(len(y))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    test = np.sort(by_class[::5])
    train = np.setdiff1d(by_class, test)
    return Dataset(*(Samples(x[part], torch.from_numpy(y[part])) for part in (train, test)))


def _resize_digits(images: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Bilinear from 8x8 in 0..16 to 28x28 in 0..255.

    Positions are multiples of 1/14, so all is done in integers and every machine gets the same
    bytes. Runs on different machines can be compared by their fingerprint.
    """
    position = np.clip(4 * np.arange(28) - 5, 0, 7 * 14)
    low, fourteenths = np.divmod(position, 14)
    weights = np.zeros((28, 8), dtype=np.int64)
    np.add.at(weights, (np.arange(28), low), 14 - fourteenths)
    np.add.at(weights, (np.arange(28), np.minimum(low + 1, 7)), fourteenths)
    one = 14 * 14 * 16
    resized: NDArray[np.int64] = (255 * (weights @ images @ weights.T) + one // 2) // one
    return resized.astype(np.uint8)


DATASETS: dict[str, Entry] = {
    "mnist": Entry(
        (1, 28, 28),
        10,
        lambda root: _load_idx(MNIST, root),
        lambda root: _download_idx(MNIST, root),
    ),
    "fashion_mnist": Entry(
        (1, 28, 28),
        10,
        lambda root: _load_idx(FashionMNIST, root),
        lambda root: _download_idx(FashionMNIST, root),
    ),
    "cifar10": Entry((3, 32, 32), 10, _load_cifar10, _download_cifar10),
    "digits": Entry((1, 28, 28), 10, _load_digits),
    "circles": Entry((1, 1, 2), 2, lambda root: Dataset(*(Samples(*part) for part in circles()))),
    "moons": Entry((1, 1, 2), 2, lambda root: Dataset(*(Samples(*part) for part in moons()))),
}
