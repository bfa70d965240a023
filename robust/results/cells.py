"""How a number is written in a cell of a table."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robust.results.metrics import Mean, Rate
from robust.results.records import AttackInfo, Evaluation
from robust.results.rows import Row

Metric = Callable[[Sequence[Row], AttackInfo], Rate]
"""A rate of the rows of one attack through one view."""


@dataclass(frozen=True)
class Cell:
    """A cell holds a share of images with its 95 % interval.

    A format of a number, such as ``.1%``, formats the share and both bounds.

    Example:
        >>> cell = robust.Cell(0.55, 0.48, 0.62, n=200)
        >>> print(cell, f"and {cell:.0%}")
        55.0% (48.0% to 62.0%, n=200) and 55% (48% to 62%, n=200)

    Args:
        value: The share, 0 to 1; NaN without images.
        low: Lower bound of the interval.
        high: Upper bound of the interval.
        n: Number of images.
    """

    value: float
    low: float
    high: float
    n: int

    @staticmethod
    def from_rate(rate: Rate) -> "Cell":
        """Return the cell of a rate."""
        low, high = rate.interval
        # Of a rate of 0 or 1, whose bounds are rounded to beside it.
        return Cell(rate.value, min(low, rate.value), max(high, rate.value), rate.n)

    def __str__(self) -> str:
        return f"{self:.1%}"

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        low, high = (format(bound, spec) for bound in (self.low, self.high))
        return f"{format(self.value, spec)} ({low} to {high}, n={self.n})"

    def __float__(self) -> float:
        return self.value


def cells(*values: Rate | Mean | float) -> str:
    """One below the other."""
    return "\n".join(_cell(value) for value in values)


def rate_cell(rate: Rate) -> str:
    """A rate in %, and its interval on a second line."""
    if not rate.n:
        return "-"
    low, high = rate.interval
    return f"{100 * rate.value:.1f}\n{100 * low:.1f}-{100 * high:.1f}"


def mean_cell(mean: Mean) -> str:
    """A mean, half the width of its interval, and the median; a single value is all of them."""
    if math.isnan(mean.error):
        return _number(mean.value)
    low, high = mean.interval
    return f"{_number(mean.value)} +-{(high - low) / 2:.2g}, median {mean.median:.2g}"


def draw_line(
    evaluation: Evaluation | None, attack: str, view: str, rate: Metric, size: int | None
) -> str:
    """The rate in % of every ``size`` samples, as a further line of a cell; none of a single draw.

    Args:
        evaluation: The records; none if None.
        attack: Name of the attack.
        view: What it saw.
        rate: What to show.
        size: Samples of a draw; None if there are no draws.
    """
    if evaluation is None or size is None:
        return ""
    rows = evaluation.select(view, attack)
    draws = rows["index"] // size
    numbers = np.unique(draws)
    if len(numbers) < 2:
        return ""
    info = evaluation.header.attacks[attack]
    rates = [rate(rows.where(draws == number), info) for number in numbers]
    return "\n" + " ".join(f"{100 * r.value:.1f}" for r in rates)


def draw_notes(table: Mapping[str, Any]) -> list[str]:
    """What the lines of `draw_line` are, if the table has a ``draw``."""
    size = table.get("draw")
    return [] if size is None else [f"Third lines: every {size} images, a draw, on their own."]


def _cell(value: Rate | Mean | float) -> str:
    if isinstance(value, Rate):
        return rate_cell(value)
    return mean_cell(value) if isinstance(value, Mean) else _number(value)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
