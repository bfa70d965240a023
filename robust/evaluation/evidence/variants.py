"""Variants of an attack of a suite: within another eps, or with twice its steps."""

import inspect
import math
from functools import partial
from typing import Any

from robust.evaluation.inheritance import builder_of, scaled
from robust.results.records import AttackInfo
from robust.types import AttackCallable

_DOUBLED = ("steps", "queries", "n_queries", "patience", "restarts", "n_restarts")
"""Arguments that say how long an attack goes on, and how often it starts."""


def within_eps(attack: AttackCallable, info: AttackInfo, eps: float) -> AttackCallable | None:
    """Return an attack within another eps, with steps of the same share of it.

    Args:
        attack: As the suite builds it.
        info: The attack as it is run.
        eps: The new radius.

    Returns:
        None if it takes no eps.
    """
    changes: dict[str, Any] = {"eps": eps}
    alpha = info.arguments.get("alpha")
    if isinstance(alpha, float) and "alpha" in _parameters(attack):
        changes["alpha"] = scaled(alpha, info.eps, eps)
    return _changed(attack, changes)


def doubled(attack: AttackCallable, info: AttackInfo) -> AttackCallable | None:
    """Return an attack with twice the steps or queries, and with twice the restarts.

    Args:
        attack: As the suite builds it.
        info: The attack as it is run.

    Returns:
        None if it has no such argument.
    """
    known = info.arguments
    changes = {
        key: 2 * known[key]
        for key in _DOUBLED
        if isinstance(known.get(key), int | float) and math.isfinite(known[key])
    }
    changes = {key: value for key, value in changes.items() if key in _parameters(attack)}
    return _changed(attack, changes) if changes else None


def _parameters(attack: AttackCallable) -> set[str]:
    return set(inspect.signature(builder_of(attack)).parameters)


def _changed(attack: AttackCallable, changes: dict[str, Any]) -> AttackCallable | None:
    return partial(attack, **changes) if set(changes) <= _parameters(attack) else None
