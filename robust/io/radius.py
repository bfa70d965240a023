"""A radius is shown as people write it: 8/255 where it is a number of grey levels."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeVar

_Value = TypeVar("_Value")

_LEVELS = 255


def radius(eps: float) -> str:
    """Return a radius as ``0.1`` if four digits say all of it, else as ``8/255`` if it is that.

    Args:
        eps: The radius, infinite for ``unbounded``.
    """
    if math.isinf(eps):
        return "unbounded"
    short = format(eps, ".4g")
    levels = 2 * _LEVELS * eps
    halves = round(levels)
    if math.isclose(float(short), eps, rel_tol=1e-9) or not math.isclose(
        levels, halves, rel_tol=_SLACK
    ):
        return short
    return f"{halves / 2:g}/{_LEVELS}" if halves else short


_SLACK = 2e-5
"""As close is 0.031373, which people write for 8/255."""


def level_ticks(largest: float) -> list[float]:
    """Return ticks of an axis from 0 to a radius that are grey levels, at most six.

    Args:
        largest: The end of the axis; there are none where `radius` writes it as a decimal.
    """
    if not radius(largest).endswith(f"/{_LEVELS}"):
        return []
    levels = _LEVELS * largest
    step = next(2**i for i in range(9) if levels <= 5 * 2**i)
    return [i * step / _LEVELS for i in range(int(levels / step + _SLACK) + 1)]


def with_radius(budget: str) -> str:
    """Return a threat model in words, such as ``Linf 0.03137``, with its eps as `radius` shows it.

    Args:
        budget: As `robust.vocabulary.budget` gives it, with four digits.
    """
    norm, _, rest = budget.partition(" ")
    number, *area = rest.split(" ", 1)
    with suppress(ValueError):
        halves = round(2 * _LEVELS * float(number))
        eps = halves / 2 / _LEVELS
        if halves and format(eps, ".4g") == number:
            return " ".join([norm, radius(eps), *area])
    return budget


def at_budget(values: Mapping[str, _Value], budget: str) -> _Value | None:
    """Return the value of a threat model, which earlier versions called ``Linf 0.03137``.

    Args:
        values: By the names of threat models.
        budget: As a table calls it.
    """
    if budget in values:
        return values[budget]
    return next((value for name, value in values.items() if with_radius(name) == budget), None)
