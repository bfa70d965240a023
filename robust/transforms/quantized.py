"""A quantizing transform says where its levels change, so that an attacker can count on it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robust.duck_typing import ByAttribute
from robust.types import Images

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Types of the integers that order the floating-point numbers of so many bytes."""


@runtime_checkable
class Quantized(Protocol, metaclass=ByAttribute):
    """Such an input transform gives each value of an image one of a few levels, by itself.

    Values on the same side of every threshold have one level. Whether a threshold itself belongs to
    the level above or below is for ``forward`` to say.
    """

    @property
    def level_thresholds(self) -> Sequence[float]:
        """Where the level changes within (0, 1), in ascending order and in pixel units."""
        ...

    def __call__(self, x: Images) -> Images:
        """Return images of levels, of the same shape."""
        ...


class Cells(NamedTuple):
    """Cells are the ranges of values that a quantizing transform does not tell apart.

    Each level has one row, in ascending order. The ends are exact: the next number of the
    floating-point type beyond them has another level.
    """

    low: Float[Tensor, " levels"]
    """The smallest value in [0, 1] of each level."""
    high: Float[Tensor, " levels"]
    """The largest."""

    @staticmethod
    @torch.no_grad()
    def of(transform: Quantized, like: Tensor) -> "Cells":
        """Find the cells of a transform, for images of the type and device of ``like``.

        The ends are found by bisection, since rounding decides to which level they belong.
        """
        thresholds = like.new_tensor(list(transform.level_thresholds))
        ends = torch.cat([like.new_zeros(1), thresholds, like.new_ones(1)])
        middles = (ends[:-1] + ends[1:]) / 2
        below, above = middles[:-1], middles[1:]
        levels = _levels(transform, below)
        while True:
            middle = _between(below, above)
            if torch.equal(middle, below):
                return Cells(torch.cat([ends[:1], above]), torch.cat([below, ends[-1:]]))
            same = _levels(transform, middle) == levels
            below, above = torch.where(same, middle, below), torch.where(same, above, middle)

    def codes(self, x: Images) -> Int64[Tensor, "n c h w"]:
        """Return the number of each value's level, 0 for the lowest."""
        return torch.bucketize(x, self.low[1:], right=True)

    def nearest(self, x: Images, x_adv: Images) -> Images:
        """Return the images nearest to ``x`` that are quantized as ``x_adv``, in every norm.

        A value whose level is that of ``x`` is that of ``x``. The others stop at the end of their
        cell.
        """
        codes = self.codes(x_adv)
        return torch.clamp(x, self.low[codes], self.high[codes])


def _levels(transform: Quantized, values: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    return transform(values.view(-1, 1, 1, 1)).flatten()


def _between(low: Float[Tensor, " m"], high: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    """Return the number in the middle of two of one type, counted by their order; low if none."""
    # Numbers that are not negative are ordered as the integers of their bits.
    integers = _INTEGERS[low.element_size()]
    first, last = low.view(integers), high.view(integers)
    return (first + (last - first) // 2).view(low.dtype)
