"""What two networks do on the same images, one by one, which says more than their two rates."""

import math
from typing import NamedTuple

import numpy as np

from robust.results.metrics import Rate
from robust.results.records import Evaluation
from robust.results.rows import Column

EVERY = "every view"
"""It stands for the worst case through all views."""


class Images(NamedTuple):
    """Images of the records are named by their index, in order.

    Args:
        index: Their indices.
        right: Which of them are classified correctly.
    """

    index: Column  # type: ignore[assignment] # a column, not tuple's method
    right: Column

    def common(self, other: "Images") -> tuple["Images", "Images"]:
        """Return both, each without images that the other lacks."""
        shared, mine, others = np.intersect1d(
            self.index, other.index, assume_unique=True, return_indices=True
        )
        return Images(shared, self.right[mine]), Images(shared, other.right[others])


def clean_images(evaluation: Evaluation) -> Images:
    """Return which images are classified correctly without an attack."""
    rows = evaluation.images()
    return Images(rows["index"], rows["clean_pred"] == rows["label"])


def robust_images(evaluation: Evaluation, view: str = EVERY) -> Images:
    """Return which images are robust under every attack through one view, or through all."""
    return Images(*evaluation.survivors(*(() if view == EVERY else (view,))))


class Paired(NamedTuple):
    """A paired difference is that of two rates on the same images.

    Args:
        first: The rate of the first network.
        second: The rate of the second one.
        only_first: Indices of images that only the first one classifies correctly.
        only_second: Indices of images that only the second one does.
    """

    first: Rate
    second: Rate
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]

    @classmethod
    def from_images(cls, one: Images, other: Images) -> "Paired":
        """Return the difference on the images that both have."""
        first, second = one.common(other)
        n = len(first.index)
        return cls(
            Rate(int(first.right.sum()), n),
            Rate(int(second.right.sum()), n),
            tuple(first.index[first.right & ~second.right].tolist()),
            tuple(first.index[second.right & ~first.right].tolist()),
        )

    @property
    def difference(self) -> float:
        """The first rate minus the second; NaN without images."""
        return self.first.value - self.second.value

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the 95 % interval of the difference; (-1, 1) without images.

        Newcombe 1998, https://doi.org/10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C,
        method 10: Wilson's intervals of both rates, combined with their correlation.
        """
        if not self.first.n:
            return -1.0, 1.0
        (low1, high1), (low2, high2) = self.first.interval, self.second.interval
        one, other = self.first.value, self.second.value
        phi = self._correlation()
        down, up = one - low1, high1 - one
        low = math.sqrt(max(0.0, down**2 - 2 * phi * down * (high2 - other) + (high2 - other) ** 2))
        high = math.sqrt(max(0.0, up**2 - 2 * phi * up * (other - low2) + (other - low2) ** 2))
        return max(-1.0, self.difference - low), min(1.0, self.difference + high)

    @property
    def p_value(self) -> float:
        """The p value of the exact McNemar test that both are equally often right."""
        return mcnemar(len(self.only_first), len(self.only_second))

    def _correlation(self) -> float:
        """Newcombe's phi, with his correction for continuity where it is positive."""
        n, one, other = self.first.n, self.first.hits, self.second.hits
        margins = one * (n - one) * other * (n - other)
        if not margins:
            return 0.0
        both = one - len(self.only_first)
        neither = n - both - len(self.only_first) - len(self.only_second)
        product = both * neither - len(self.only_first) * len(self.only_second)
        corrected = max(product - n / 2, 0.0) if product > 0 else product
        return corrected / math.sqrt(margins)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the p value of McNemar's exact test from the images that two networks differ on."""
    if only_first + only_second == 0:
        return 1.0
    from scipy.stats import binomtest  # half a second, which a page without pairs does not need

    return float(binomtest(only_first, only_first + only_second).pvalue)
