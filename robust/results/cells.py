"""How a number is written in a cell of a table."""

import math

from robust.results.metrics import Mean, Rate


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


def _cell(value: Rate | Mean | float) -> str:
    if isinstance(value, Rate):
        return rate_cell(value)
    return mean_cell(value) if isinstance(value, Mean) else _number(value)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
