"""Image sets of an ``.npz`` file: training and test images, or test images alone."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robust.data.files.image_lists import MOST_CLASSES, too_many_classes
from robust.data.npz import keys_of, read_arrays
from robust.data.samples import Dataset, Pixels, Samples, StoredImages, no_samples
from robust.errors import ConfigError

_OFFLINE = "or use `--data configs/data/digits.yaml`, which needs no download"


def load_npz(path: Path) -> Dataset:
    """Read ``x_train``, ``y_train``, ``x_test``, ``y_test`` from ``path``, without running pickles.

    Images are uint8, (N, H, W) or (N, H, W, C); labels are integers from 0 on. The training part
    may be absent.

    Raises:
        ConfigError: If the file is missing, damaged, or holds anything else.
    """
    if not path.is_file():
        raise ConfigError(
            f"Expected a data file at {path}, but there is no such file. "
            f"Correct the path, {_OFFLINE}."
        )
    there = keys_of(path)
    parts = ("test",) if not {"x_train", "y_train"} & {*there} else ("train", "test")
    keys = [f"{kind}_{part}" for part in parts for kind in "xy"]
    arrays = read_arrays(path, keys)
    read = {part: _npz_samples(arrays, part, path) for part in parts}
    test, shape = read["test"], _shape(read["test"].x)
    train = read.get("train") or no_samples(shape)
    if _shape(train.x) != shape:
        raise ConfigError(
            f"Expected training and test images of one shape in {path}, but got {_shape(train.x)} "
            f"and {shape} (channels, height, width). Resize one of them."
        )
    return Dataset(train, test)


def class_names_of(path: Path, count: int) -> tuple[str, ...]:
    """Return what the array ``classes`` of a file holds, the names of its classes; none without it.

    Args:
        path: The file.
        count: Number of classes.

    Raises:
        ConfigError: If there are fewer names, or something else.
    """
    if "classes" not in keys_of(path):
        return ()
    names = read_arrays(path, ["classes"])["classes"]
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) < count:
        raise ConfigError(
            f"Expected `classes` in {path} to be {count} names or more, but got {names.dtype} of "
            f"shape {names.shape}. Store them as numpy.array of texts."
        )
    return tuple(map(str, names))


def _shape(x: Pixels | StoredImages) -> tuple[int, int, int]:
    _, channels, height, width = x.shape
    return channels, height, width


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
    return Samples(channels_first(images), torch.from_numpy(y.astype(np.int64)))


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
    if y.size and y.max() >= MOST_CLASSES:
        raise too_many_classes(y.max(), what)
    if y.size and y.min() < 0:
        raise ConfigError(
            f"Expected labels from 0 on in {what}, but got {y.min()}. Number the classes from 0."
        )


def channels_first(images: NDArray[np.uint8]) -> Pixels:
    """Return images (N, H, W, C) as a tensor (N, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
