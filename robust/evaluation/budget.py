"""A suite under another threat model: the one way in which its eps or its norm is changed."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from robust.attacks.norms import norm_of
from robust.errors import ConfigError
from robust.evaluation.inheritance import arguments_given, inheriting, with_scaled_step
from robust.evaluation.plan import build
from robust.evaluation.suite import Suite
from robust.io.radius import radius
from robust.threat import OpenThreatModel, ThreatModel
from robust.types import Norm


@dataclass(frozen=True)
class Within:
    """A suite is evaluated within another threat model than its own.

    Args:
        suite: The suite as it is run.
        notes: What a reader has to know of the change, as sentences.
    """

    suite: Suite
    notes: Sequence[str] = ()


def within(suite: Suite, eps: float | None = None, norm: Norm | None = None) -> Within:
    """Return a suite with another eps or norm, for all attacks that have none of their own.

    An attack keeps its threat model if `Suite.threat_models` has one for it, or if it was given an
    ``eps`` or a ``norm``. Attacks that do not bound the new norm are left out. A step ``alpha``
    keeps its share of ``eps``. A suite with the eps of the data set has that in a new norm, too.

    Args:
        suite: The suite.
        eps: Radius; that of the suite if None.
        norm: Norm; that of the suite if None.

    Raises:
        ConfigError: If there is no such threat model, or no attack follows it.
    """
    if eps is None and norm is None:
        return Within(suite)
    old = suite.threat_model
    new = _changed(old, eps, norm)
    kinds = {name: _kind(suite, name, new) for name in suite.attacks}
    unfit = [name for name, kind in kinds.items() if kind == "unfit"]
    if "follows" not in kinds.values():
        raise _nothing_follows(suite, new, unfit)
    fit = suite if not unfit else suite.only([name for name in suite.attacks if name not in unfit])
    own = [name for name, kind in kinds.items() if kind == "own"]
    changed = replace(
        fit,
        attacks={
            name: with_scaled_step(attack, old.eps, new.eps) if kinds[name] == "follows" else attack
            for name, attack in fit.attacks.items()
        },
        threat_model=new,
        threat_models={**dict.fromkeys(own, old), **fit.threat_models},
    )
    kept_eps = eps is None and not isinstance(new, OpenThreatModel)
    return Within(changed, list(_notes(suite, new, own, unfit, kept_eps=kept_eps)))


def _changed(old: ThreatModel, eps: float | None, norm: Norm | None) -> ThreatModel:
    if eps is None and isinstance(old, OpenThreatModel):
        return old.in_norm(norm or old.norm)
    radius = old.eps if eps is None else eps
    return ThreatModel(norm or old.norm, radius, old.mask, old.patch)


_Kind = Literal["follows", "own", "unfit"]
"""An attack follows the suite's threat model, has its own, or does not bound the norm."""


def _kind(suite: Suite, name: str, new: ThreatModel) -> _Kind:
    if name in suite.threat_models:
        return "own"
    attack = suite.attacks[name]
    try:
        built = build(name, inheriting(attack, new))
    except ConfigError:
        if new.norm == suite.threat_model.norm:
            raise
        return "unfit"  # it has a norm, but not this one
    given = {"eps", "norm"} & set(arguments_given(attack))
    if not math.isclose(vars(built).get("eps", new.eps), new.eps, rel_tol=1e-9):
        return "own"
    if norm_of(built) in (None, new.norm):
        return "follows"
    return "own" if given else "unfit"


def _nothing_follows(suite: Suite, new: ThreatModel, unfit: Sequence[str]) -> ConfigError:
    if unfit:
        return ConfigError(
            f"Expected attacks of suite {suite.name} that bound {new.norm}, but got "
            f"{_some(unfit)}, which do not. Choose another norm or suite."
        )
    return ConfigError(
        f"Expected attacks of suite {suite.name} that take its eps and norm, but each has its own "
        f"({_some(list(suite.attacks))}). Change them in a copy of the suite."
    )


def _notes(
    suite: Suite, new: ThreatModel, own: Sequence[str], unfit: Sequence[str], *, kept_eps: bool
) -> Iterator[str]:
    if unfit:
        yield f"left out, since they do not bound {new.norm}: {_some(unfit)}."
    if own:
        yield f"attacks that keep their own threat model: {_some(own)}."
    if kept_eps and new.norm != suite.threat_model.norm:
        yield f"eps {radius(new.eps)} of the suite is now of {new.norm}; give eps another value."


_MOST = 8


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")
