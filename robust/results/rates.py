"""A rate is a share of samples with its interval."""

import math
from collections.abc import Iterable
from typing import NamedTuple

Z95 = 1.959963984540054


class Rate(NamedTuple):
    """A share of samples, with its 95 % Wilson interval."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """Hits over n; NaN without samples."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound of the 95 % Wilson score interval; (0, 1) without samples.

        Wilson 1927, https://doi.org/10.2307/2276774. Unlike the normal interval it is sound at
        rates of 0 and 1, where attacks usually are.
        """
        if not self.n:
            return 0.0, 1.0
        z2 = Z95**2
        centre = (self.hits + z2 / 2) / (self.n + z2)
        spread = self.hits * (self.n - self.hits) / self.n + z2 / 4
        half = Z95 / (self.n + z2) * math.sqrt(spread)
        # Rounding leaves 1e-17 of what is exactly 0 or 1 there.
        low = max(0.0, centre - half) if self.hits else 0.0
        return low, min(1.0, centre + half) if self.hits < self.n else 1.0

    def is_above(self, other: "Rate") -> bool:
        """Return whether it is larger and their intervals do not overlap."""
        return self.interval[0] > other.interval[1]


def total(rates: Iterable[Rate]) -> Rate:
    """Return the rate of several parts together."""
    hits, n = zip((0, 0), *rates, strict=True)
    return Rate(sum(hits), sum(n))
