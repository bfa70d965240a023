"""Known image sets as uint8 tensors: one entry of `DATASETS` each."""

import difflib
from collections.abc import Callable, Iterable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.datasets import CIFAR10, CIFAR100, MNIST, SVHN, FashionMNIST
from torchvision.datasets.mnist import (
    read_image_file,
    read_label_file,
)

from robust.data import class_names
from robust.data.files.npz_sets import channels_first, load_npz
from robust.data.samples import Dataset, Samples
from robust.data.toy import circles, moons
from robust.errors import ConfigError
from robust.vocabulary import DATA_SOURCES

_OFFLINE = "or use `--data configs/data/digits.yaml`, which needs no download"


class Entry(NamedTuple):
    """An entry has the facts of a named set, and how to download and read it.

    Args:
        shape: (C, H, W).
        num_classes: Labels are smaller than this.
        load: Reads it from the root folder.
        download: Puts it into the root folder unless it is there; None if it needs no files.
        classes: Names of the classes, if they have any but their numbers.
    """

    shape: tuple[int, int, int]
    num_classes: int
    load: Callable[[Path], Dataset]
    download: Callable[[Path], None] | None = None
    classes: tuple[str, ...] = ()


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
    hint = f"Did you mean {near}?" if (near := _near(name)) else "Choose one of them."
    raise ConfigError(
        f"Expected `dataset` to be one of {', '.join(DATASETS)}, {':, '.join(DATA_SOURCES)}: with "
        f"a path, or a path that ends in .npz, but got {name[:60]!r}. {hint}"
    )


def _near(name: str) -> str | None:
    if Path(name).is_dir():
        return f"imagefolder:{name[:60]}"
    return next(iter(difflib.get_close_matches(name.lower(), DATASETS, n=1, cutoff=0.5)), None)


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


def _load_cifar(kind: type[CIFAR10], root: Path) -> Dataset:
    packed = _packed(kind, root)
    if packed.is_file():
        return load_npz(packed)
    folder = root / kind.base_folder
    if not folder.is_dir():
        raise _missing(folder, "there is no such folder")
    try:
        return Dataset(*(_cifar_samples(kind(root, train)) for train in (True, False)))
    except (OSError, RuntimeError):
        # torchvision compares checksums before it unpickles anything.
        raise _damaged(folder, "a file is missing or has not the official checksum") from None


def _packed(kind: type[CIFAR10], root: Path) -> Path:
    return root / f"{kind.__name__.lower()}.npz"


def _cifar_samples(dataset: CIFAR10) -> Samples:
    return Samples(channels_first(dataset.data), torch.tensor(dataset.targets))


def _download_cifar(kind: type[CIFAR10], root: Path) -> None:
    if _packed(kind, root).is_file():
        return
    names = [name for name, _ in (*kind.train_list, *kind.test_list)]
    folder = root / kind.base_folder
    _download(kind, root, [folder / name for name in (*names, kind.meta["filename"])])


_SVHN_PARTS = ("train", "test")


def _load_svhn(root: Path) -> Dataset:
    paths = [_svhn_path(root, part) for part in _SVHN_PARTS]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise _missing(root, f"{absent[0].name} is not there")
    try:
        return Dataset(*(_svhn_samples(SVHN(root, part)) for part in _SVHN_PARTS))
    except (OSError, RuntimeError):
        # torchvision compares checksums before it reads anything.
        raise _damaged(root, "train_32x32.mat or test_32x32.mat has another checksum") from None


def _svhn_path(root: Path, part: str) -> Path:
    return root / str(SVHN.split_list[part][1])


def _svhn_samples(dataset: SVHN) -> Samples:
    x = torch.from_numpy(np.ascontiguousarray(dataset.data))
    return Samples(x, torch.from_numpy(dataset.labels).long())


def _download_svhn(root: Path) -> None:
    for part in _SVHN_PARTS:
        _download(partial(SVHN, split=part), root, [_svhn_path(root, part)])


def _download(dataset: Callable[..., object], root: Path, paths: Iterable[Path]) -> None:
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
    """Resize bilinearly from 8x8 in 0..16 to 28x28 in 0..255.

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
        class_names.FASHION_MNIST,
    ),
    "cifar10": Entry(
        (3, 32, 32),
        10,
        lambda root: _load_cifar(CIFAR10, root),
        lambda root: _download_cifar(CIFAR10, root),
        class_names.CIFAR10,
    ),
    "cifar100": Entry(
        (3, 32, 32),
        100,
        lambda root: _load_cifar(CIFAR100, root),
        lambda root: _download_cifar(CIFAR100, root),
        class_names.CIFAR100,
    ),
    "svhn": Entry((3, 32, 32), 10, _load_svhn, _download_svhn),
    "digits": Entry((1, 28, 28), 10, _load_digits),
    "circles": Entry((1, 1, 2), 2, lambda root: Dataset(*(Samples(*part) for part in circles()))),
    "moons": Entry((1, 1, 2), 2, lambda root: Dataset(*(Samples(*part) for part in moons()))),
}
