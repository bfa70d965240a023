"""These transforms quantize or smooth: feature squeezing and its relatives."""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from robust.errors import ConfigError
from robust.types import Images


@final
class FeatureSqueezing(nn.Module):
    """This leaves fewer levels: ``round(x (2^bits - 1)) / (2^bits - 1)``, halves to even.

    Xu, Evans and Qi 2018 (https://arxiv.org/abs/1704.01155), color depth. Zantedeschi et al. 2017
    take 1 bit on MNIST and 3 on CIFAR-10.

    Args:
        bits: 1 to 8.

    Raises:
        ConfigError: If ``bits`` is out of range.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        _check_bits(bits, most=8)
        self.bits = bits

    @property
    def level_thresholds(self) -> Sequence[float]:
        """The middles between two levels."""
        steps = (1 << self.bits) - 1
        return [(step + 0.5) / steps for step in range(steps)]

    def forward(self, x: Images) -> Images:
        """Return images of 2^bits levels, of the same shape."""
        steps = (1 << self.bits) - 1
        return (x * steps).round() / steps


@final
class MedianSmoothing(nn.Module):
    """Each pixel becomes the median of its ``size`` x ``size`` neighbours, in each channel.

    Xu, Evans and Qi 2018 (https://arxiv.org/abs/1704.01155); the same as
    ``scipy.ndimage.median_filter`` with its ``reflect`` mode, in which the pixel at the edge is
    repeated. Of an even number of values the upper median counts; windows of an even size reach one
    further up and left.

    Args:
        size: Side of the window in pixels, at least 2.

    Raises:
        ConfigError: If ``size`` is below 2.
    """

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        if size < 2:
            raise ConfigError(
                f"Expected `size` to be at least 2, but got {size}. Give 2 or 3, as the paper."
            )
        self.size = size

    def forward(self, x: Images) -> Images:
        """Return smoothed images of the same shape."""
        rows, columns = (_reflected(side, self.size, x.device) for side in x.shape[2:])
        padded = x[:, :, rows][:, :, :, columns]
        windows = padded.unfold(2, self.size, 1).unfold(3, self.size, 1).flatten(4)
        return windows.kthvalue(self.size**2 // 2 + 1, dim=4).values


@final
class Binarize(nn.Module):
    """A pixel becomes 1 where it is at least ``threshold``, else 0.

    Paranjape, Dubey and Gopalan 2020, section VI: of 0 to 255, 127 becomes 0 and 128 becomes 1.

    Args:
        threshold: In (0, 1); the default is that of the paper.

    Raises:
        ConfigError: If ``threshold`` is out of range.
    """

    def __init__(self, threshold: float = 128 / 255) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ConfigError(
                f"Expected `threshold` in (0, 1), but got {threshold}. Of a pixel in 0 to 255, "
                "give it over 255."
            )
        self.threshold = threshold

    @property
    def level_thresholds(self) -> Sequence[float]:
        """The one threshold."""
        return [self.threshold]

    def forward(self, x: Images) -> Images:
        """Return images of zeros and ones, of the same shape."""
        # A comparison has no gradient at all, where rounding has one of zero; attacks ask for one.
        return (x >= self.threshold).to(x.dtype) + 0 * x


@final
class BitDepthReduction(nn.Module):
    """This cuts the lower bits off a pixel X of 0 to 255: ``X - X mod 2^bits``.

    Color depth reduction (CDR) in Paranjape, Dubey and Gopalan 2020, who do not say how many bits.
    Pixels between the integers are cut down too. A pixel within 0.001 below an integer counts as
    that integer, so that bytes divided by 255 come out exactly in float32.

    Args:
        bits: How many are cut off, 1 to 7.

    Raises:
        ConfigError: If ``bits`` is out of range.
    """

    def __init__(self, bits: int = 4) -> None:
        super().__init__()
        _check_bits(bits, most=7)
        self.bits = bits

    @property
    def level_thresholds(self) -> Sequence[float]:
        """The positive multiples of 2^bits / 255."""
        return [level / 255 for level in range(1 << self.bits, 256, 1 << self.bits)]

    def forward(self, x: Images) -> Images:
        """Return images whose pixels are multiples of 2^bits / 255, of the same shape."""
        step = 1 << self.bits
        return ((x * 255 + 0.001) / step).floor() * step / 255


def _check_bits(bits: int, most: int) -> None:
    if not 1 <= bits <= most:
        raise ConfigError(
            f"Expected `bits` to be 1 to {most}, but got {bits}. Pixels have 8 bits to begin with."
        )


def _reflected(side: int, size: int, device: torch.device) -> Int64[Tensor, " _"]:
    """Return the index of each pixel from ``size // 2`` before a row on, mirrored at its edges."""
    index = torch.arange(-(size // 2), side + size - size // 2 - 1, device=device) % (2 * side)
    return torch.minimum(index, 2 * side - 1 - index)
