"""Two classes of points in the plane are images of one row and two pixels.

Zantedeschi et al. 2017, Figure 2 (https://arxiv.org/abs/1707.06728): concentric circles and
half-moons, 20 points each.
"""

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from robust.types import Labels

_SEED = 0
_TRAIN, _TEST = 20, 200


def circles() -> list[tuple[UInt8[Tensor, "n 1 1 2"], Labels]]:
    """Return training and test points on two circles, the inner one of 0.6 times the radius.

    20 points to train on and 200 to test on, without noise: the test points lie between the
    training points. The paper's square [-1, 1] is [0, 1] here, so a length of the paper is half as
    long. Coordinates are rounded to bytes, 255ths of the side.
    """
    from sklearn.datasets import make_circles  # takes a second, and only these sets need it

    return [_points(*make_circles(n, factor=0.6, random_state=_SEED)) for n in (_TRAIN, _TEST)]


def moons() -> list[tuple[UInt8[Tensor, "n 1 1 2"], Labels]]:
    """Return training and test points on two half-moons; otherwise as `circles`."""
    from sklearn.datasets import make_moons

    return [_points(*make_moons(n, random_state=_SEED)) for n in (_TRAIN, _TEST)]


def _points(
    x: NDArray[np.float64], y: NDArray[np.int64]
) -> tuple[UInt8[Tensor, "n 1 1 2"], Labels]:
    """Stretch points to the square by each coordinate, in the order of their classes."""
    low, high = x.min(axis=0), x.max(axis=0)
    order = np.argsort(y, kind="stable")
    pixels = torch.from_numpy((255 * (x - low) / (high - low)).round()[order]).to(torch.uint8)
    return pixels.view(-1, 1, 1, 2), torch.from_numpy(y[order].astype(np.int64))
