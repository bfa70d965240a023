"""Image files as bytes of one shape: which formats count, and what becomes of odd ones.

Pixels are those that torchvision's `ImageFolder` and its transforms `Resize` and `CenterCrop` give,
since most networks are trained on those.
"""

import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import center_crop, resize

from robust.errors import ConfigError, nearest

Interpolation = Literal["bilinear", "bicubic", "nearest"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".gif")
"""Names of image files end so, in upper or lower case."""
_FORMATS = ("JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP", "GIF")
"""What is read, whatever the name says; other formats of PIL run other programs."""
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
_OF_16_BITS = ("I", "I;16", "I;16B", "I;16L")


class UnusableImage(ValueError):
    """Bytes are no image that can be used; the message says why."""


@dataclass(frozen=True)
class Decoding:
    """How an image file becomes bytes of one shape.

    Of an animation the first frame counts, and of 16 bits the upper 8. CMYK becomes RGB, the alpha
    channel is left out, and the orientation that a camera noted is not applied.

    Args:
        size: Pixels of the shorter side after resizing, antialiased; as stored if None.
        crop: Side of the square that is kept in the middle; ``size`` if None.
        interpolation: Of the resizing.
        channels: 1 for grey, 3 for RGB; as in the first images if None.

    Raises:
        ConfigError: If a number is out of range.
    """

    size: int | None = None
    crop: int | None = None
    interpolation: Interpolation = "bilinear"
    channels: int | None = None

    def __post_init__(self) -> None:
        for key, value in (("size", self.size), ("crop", self.crop)):
            if value is not None and not 1 <= value <= _LARGEST_SIDE:
                raise ConfigError(
                    f"Expected `{key}` to be 1 to {_LARGEST_SIDE} pixels, but got {value}. "
                    "Give 224, for example."
                )
        if self.size is not None and self.crop is not None and self.crop > self.size:
            raise ConfigError(
                f"Expected `crop` to be at most `size`, but got {self.crop} and {self.size}. "
                "Images are resized first, then cropped."
            )
        if self.interpolation not in get_args(Interpolation):
            raise ConfigError(
                f"Expected `interpolation` to be one of {', '.join(get_args(Interpolation))}, but "
                f"got {self.interpolation!r}."
                f"{nearest(self.interpolation, get_args(Interpolation))}"
            )
        if self.channels not in (None, 1, 3):
            raise ConfigError(
                f"Expected `channels` to be 1 for grey or 3 for RGB, but got {self.channels}."
            )

    def is_given(self) -> bool:
        """Whether anything is to be done to images."""
        return self != Decoding()

    def pixels(self, content: bytes) -> UInt8[Tensor, "c h w"]:
        """Return the pixels of an image file.

        Raises:
            UnusableImage: If it cannot be decoded, or has other channels than asked for.
        """
        return self.pixels_of(opened(content))

    def pixels_of(self, image: Image.Image) -> UInt8[Tensor, "c h w"]:
        """Return the pixels of an image.

        Raises:
            UnusableImage: If it cannot be decoded, or has other channels than asked for.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PIL's, of what it could read all the same
                return _bytes(self._shaped(self._in_mode(image)))
        except UnusableImage:
            raise
        # PIL's decoders raise OSError, SyntaxError, ValueError, struct.error and more.
        except Exception as error:
            raise UnusableImage(_reason(error)) from None

    def _in_mode(self, image: Image.Image) -> Image.Image:
        grey = is_grey(image)
        if self.channels == 1 and not grey:
            raise UnusableImage("it is in colour, unlike the others; set `channels` to 3")
        mode = "L" if self.channels == 1 or (self.channels is None and grey) else "RGB"
        if image.mode in _OF_16_BITS:
            image = _upper_bits(image)
        if image.mode == "F":
            raise UnusableImage("its pixels are floating-point numbers")
        # By RGBA, since PIL warns of a transparent palette that has no other way.
        return image.convert("RGBA").convert(mode) if _has_palette(image) else image.convert(mode)

    def _shaped(self, image: Image.Image) -> Image.Image:
        if self.size is not None:
            mode = InterpolationMode(self.interpolation)
            image = resize(image, self.size, mode, antialias=True)
        crop = self.crop or self.size
        if crop is None:
            return image
        if min(image.size) < crop:
            raise UnusableImage(
                f"its {image.width}x{image.height} pixels are less than the crop of {crop}; "
                "give `size`"
            )
        return cast(Image.Image, center_crop(image, crop))


_LARGEST_SIDE = 8192


def opened(content: bytes) -> Image.Image:
    """Return an image of which only the head is read.

    Raises:
        UnusableImage: If the bytes begin like no image.
    """
    if not content:
        raise UnusableImage("it is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(content), formats=_FORMATS)
    except Exception as error:  # as in `Decoding.pixels_of`
        raise UnusableImage(_reason(error)) from None


def is_grey(image: Image.Image) -> bool:
    """Whether an image has no colours, by its head."""
    return image.mode in _GREY


def channels_of(images: Iterable[Image.Image]) -> int:
    """Return 3 if one of some images is in colour, else 1."""
    return 1 if all(map(is_grey, images)) else 3


def _has_palette(image: Image.Image) -> bool:
    return image.mode in ("P", "PA")


def _upper_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise UnusableImage("its pixels have more than 16 bits")
    return Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8))


def _bytes(image: Image.Image) -> UInt8[Tensor, "c h w"]:
    array = np.array(image)
    channels_last = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(np.ascontiguousarray(channels_last.transpose(2, 0, 1)))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(_FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).split("\n")
    return lines[0].strip()[:100] or type(error).__name__
