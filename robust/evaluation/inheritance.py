"""An attack inherits the eps and the norm of its threat model, where nobody gave it others."""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

from robust.threat import ThreatModel
from robust.types import AttackCallable, Norm


def arguments_given(attack: AttackCallable) -> Mapping[str, Any]:
    """Return the arguments that a suite gives an attack, without defaults of its class."""
    return attack.keywords if isinstance(attack, partial) else {}


def inherits(attack: AttackCallable, key: str) -> bool:
    """Return whether an attack has an argument ``eps`` or ``norm`` and nobody gave it."""
    return key in _open_defaults(attack)


def inheriting(attack: AttackCallable, threat_model: ThreatModel) -> AttackCallable:
    """Return an attack with the eps and the norm of its threat model, unless it has its own.

    A default step ``alpha`` that is a number keeps its share of the default eps.

    Args:
        attack: Builds it on a view.
        threat_model: What it may do.
    """
    defaults = _open_defaults(attack)
    eps = threat_model.eps
    inherited: dict[str, Any] = {"norm": threat_model.norm, "eps": eps}
    inherited = {key: value for key, value in inherited.items() if key in defaults}
    if {"eps", "alpha"} <= set(defaults):
        inherited["alpha"] = scaled(defaults["alpha"], defaults["eps"], eps)
    return partial(attack, **inherited) if inherited else attack


def with_scaled_step(attack: AttackCallable, old: float, eps: float) -> AttackCallable:
    """Return an attack whose given step ``alpha`` has the same share of a new eps.

    Args:
        attack: Builds it on a view.
        old: The eps that its step was given for.
        eps: The new one.
    """
    alpha = arguments_given(attack).get("alpha")
    if alpha is None or not inherits(attack, "eps"):
        return attack
    step: dict[str, Any] = {"alpha": scaled(alpha, old, eps)}
    return partial(attack, **step)


def scaled(alpha: float, old: float, eps: float) -> float:
    """Return a step with the same share of a new eps; itself where the old one is 0 or infinite."""
    return alpha * (eps / old) if old > 0 and math.isfinite(old) else alpha


def _open_defaults(attack: AttackCallable) -> dict[str, Any]:
    """Return the defaults of what nobody gave: of ``eps``, ``norm`` and a step that is a number."""
    known, given = inspect.signature(builder_of(attack)).parameters, arguments_given(attack)
    defaults = {key: known[key].default for key in _USABLE if key in known and key not in given}
    return {key: value for key, value in defaults.items() if _USABLE[key](value)}


def builder_of(attack: AttackCallable) -> Callable[..., Any]:
    """Return the class that a function builds, as far as it says so.

    The parser makes a `partial` of its own function whose first argument is the class.
    """
    if not isinstance(attack, partial):
        return attack
    return next((value for value in attack.args if isinstance(value, type)), attack.func)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_USABLE: dict[str, Callable[[object], bool]] = {
    "eps": _is_number,
    "norm": lambda value: value in get_args(Norm),
    "alpha": _is_number,
}
"""Which default of an argument says that it means what ours of that name means."""
INHERITABLE = tuple(_USABLE)
"""Arguments whose defaults count as not given."""
