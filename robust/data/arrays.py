"""Images and labels that a caller has in memory, checked, as tensors or as a data module."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robust.data.datamodule import ImageDataModule
from robust.errors import ConfigError

_NAME = "arrays"
ROUNDING = 1e-4
"""How far 255 times a pixel may be from an integer: float32 is closer."""


def images_of(x: Any) -> Tensor:  # noqa: ANN401
    """Return images as float32 in [0, 1], (N, C, H, W).

    Args:
        x: A tensor or an array, uint8 of 0 to 255 or of floating point in [0, 1].

    Raises:
        ConfigError: If it is none of these.
    """
    images = _tensor(x, "x")
    if images.ndim == 4 and not images.numel():
        raise ConfigError(f"Expected images in `x`, but got none: {tuple(images.shape)}.")
    if images.ndim != 4 or _is_channels_last(images):
        raise ConfigError(
            f"Expected `x` to be images of shape (N, C, H, W), but got {tuple(images.shape)}. "
            "Reshape it, with channels before height and width."
        )
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise ConfigError(
            f"Expected `x` to be uint8 or of floating point, but got {images.dtype}. Give 0 to 255 "
            "as uint8, or 0 to 1 as float32."
        )
    images = images.detach().float()
    if not images.isfinite().all():
        raise ConfigError("Expected numbers as pixels of `x`, but some are not finite. Fix them.")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ConfigError(
            f"Expected pixels of `x` in [0, 1], but got {images.min():.4g} to {images.max():.4g}. "
            "Divide by 255, or give uint8; normalization is the network's first layer."
        )
    return images


def _is_channels_last(images: Tensor) -> bool:
    """Whether the last axis can only be that of the channels: 1 to 4 of them."""
    return images.shape[3] <= _MOST_CHANNELS < min(images.shape[1:3])


_MOST_CHANNELS = 4


def labels_of(y: Any, count: int) -> Tensor:  # noqa: ANN401
    """Return labels as int64, (N,).

    Args:
        y: A tensor, an array or a list of integers from 0 on.
        count: Number of images.

    Raises:
        ConfigError: If they are no labels of so many images.
    """
    labels = _tensor(y, "y")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ConfigError(
            f"Expected `y` to hold integer labels, but got {labels.dtype}. Number the classes "
            "from 0."
        )
    if labels.shape != (count,):
        raise ConfigError(
            f"Expected `y` to hold one label for each of {count} images, but got the shape "
            f"{tuple(labels.shape)}. Give the class of each image, not one-hot rows."
        )
    labels = labels.long()
    if labels.min() < 0:
        raise ConfigError(
            f"Expected labels of `y` from 0 on, but got {int(labels.min())}. Number the classes "
            "from 0."
        )
    return labels


def data_of(x: Any, y: Any) -> ImageDataModule:  # noqa: ANN401
    """Return a data module of which all images are test images.

    Args:
        x: As `images_of` takes them; of floating point, multiples of 1/255.
        y: As `labels_of` takes them.

    Raises:
        ConfigError: If either cannot be used, or a pixel is no multiple of 1/255.
    """
    images = images_of(x)
    labels = labels_of(y, len(images)).cpu().numpy()
    levels = images.cpu() * 255
    pixels = levels.round()
    if (levels - pixels).abs().max() > ROUNDING:
        raise ConfigError(
            "Expected pixels of `x` to be multiples of 1/255, as of images with 8 bits, but some "
            "are not. Round them: (x * 255).round() / 255."
        )
    array = pixels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{_NAME}.npz"  # whose reader checks the rest
        np.savez(path, x_train=array, y_train=labels, x_test=array, y_test=labels)
        module = ImageDataModule(str(path), val_fraction=0.0)
    module.is_named = False
    return module


def area_of(mask: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the ``mask`` or the ``patch`` of a threat model; nothing for None.

    Args:
        mask: Rows, a tensor or an array (H, W) of ones and zeros or of truth values; or a number
            for the side of a patch.

    Raises:
        ConfigError: If it is none of these.
    """
    if mask is None:
        return {}
    if isinstance(mask, int | float):
        return {"patch": mask}
    values = _tensor(mask, "mask")
    if values.ndim != 2 or not ((values == 0) | (values == 1)).all():
        raise ConfigError(
            "Expected `mask` to be ones and zeros of shape (H, W), but got "
            f"{'other values' if values.ndim == 2 else tuple(values.shape)}. Give one number for "
            "each pixel."
        )
    return {"mask": values.int().tolist()}


def _tensor(value: Any, name: str) -> Tensor:  # noqa: ANN401
    if isinstance(value, Tensor):
        return value
    try:
        return torch.from_numpy(np.ascontiguousarray(value))
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(
            f"Expected `{name}` to be a tensor or an array of numbers, but got "
            f"{type(value).__name__}. Convert it with numpy.asarray."
        ) from None
