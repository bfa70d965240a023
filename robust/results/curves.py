"""Curves show robust accuracy against eps: one a run and view, one panel a family of attacks."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from robust.io.radius import level_ticks
from robust.results.metrics import Rate, accuracy_curve, clean_accuracy, robust_accuracy
from robust.results.records import AttackInfo, Evaluation

_RADII = 101
"""Points of a curve that comes from one crafting."""


class Curve(NamedTuple):
    """Robust accuracy of a run through a view."""

    run: str
    view: str
    eps: list[float]
    """Ascending from 0, where the accuracy is the clean one."""
    rates: list[Rate]
    """Share of all samples that are robust within each eps."""


class Panel(NamedTuple):
    """The curves of one family of attacks."""

    family: str
    info: AttackInfo
    """The attack of the smallest eps; the only one, if it looks for the nearest image."""
    curves: list[Curve]

    @property
    def ticks(self) -> list[float]:
        """Ticks of eps that are grey levels, where the largest eps is; else none."""
        return level_ticks(max((curve.eps[-1] for curve in self.curves), default=0.0))


def families(attacks: Mapping[str, AttackInfo]) -> dict[str, list[str]]:
    """Return the families of attacks of a suite, which differ in ``eps`` alone, sorted by eps.

    They are of one class, code, norm, area and target, and all other arguments are equal. A step
    (``alpha``) may be the same in all of them. It may also be the same share of ``eps``, or
    ``eps`` less one number, as papers choose it. A minimal-norm attack is a family of its own.
    Names decide only what a family is called: as its attacks without the number at the end
    (``pgd_0.1``, ``pgd_0.2``: ``pgd``), else as its first.

    Args:
        attacks: Of one suite, by name.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, info in attacks.items():
        alike.setdefault((name,) if info.minimal else _besides_eps(info), []).append(name)
    groups = [group for names in alike.values() for group in _of_one_step(names, attacks)]
    named: dict[str, list[str]] = {}
    for names in groups:
        stems = {re.sub(r"[\W_]*[\d.]+$", "", name) for name in names}
        stem = stems.pop() if len(names) > 1 and len(stems) == 1 else ""
        label = names[0] if not stem or stem in attacks or stem in named else stem
        named[label] = sorted(names, key=lambda name: attacks[name].eps)
    return named


def _besides_eps(info: AttackInfo) -> tuple[str, ...]:
    """Return what attacks of a family have in common, except the step."""
    fixed = {k: v for k, v in info.arguments.items() if k not in ("eps", "alpha")}
    parts = (info.name, info.norm, info.area, info.target, info.code_sha256, fixed)
    return tuple(_written(part) for part in parts)


def _of_one_step(names: Sequence[str], attacks: Mapping[str, AttackInfo]) -> list[list[str]]:
    """Group attacks by the rule for their step that leaves the fewest groups."""
    groupings: list[dict[str, list[str]]] = []
    for rule in _STEPS:
        groups: dict[str, list[str]] = {}
        for name in names:
            step = attacks[name].arguments.get("alpha")
            eps = attacks[name].eps
            key = rule(step, eps) if isinstance(step, int | float) else step
            groups.setdefault(_written(key), []).append(name)
        groupings.append(groups)
    return list(min(groupings, key=len).values())


_STEPS: tuple[Callable[[float, float], float], ...] = (
    lambda step, eps: step / eps if eps else step,
    lambda step, eps: step,
    lambda step, eps: eps - step,  # what a random step leaves
)


def _written(value: Any) -> str:  # noqa: ANN401
    """Return the same text for equal arguments of any type, even if they cannot be hashed."""
    if isinstance(value, Mapping):
        pairs = sorted((_written(key), _written(item)) for key, item in value.items())
        return f"{{{', '.join(f'{key}: {item}' for key, item in pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    # 1 and 1.0 are one argument, and so are shares of eps that only rounding tells apart.
    return f"{value:.12g}" if isinstance(value, float) else repr(value)


def accuracy_curves(evaluations: Mapping[str, Evaluation]) -> list[Panel]:
    """Return curves of all families with at least two eps or a minimal-norm attack.

    Where a family has several attacks of one eps, the lowest accuracy counts. A minimal-norm attack
    gives the accuracy at every radius up to its ``eps``. If that is infinite, the largest distance
    at which it found an adversarial image in any of the runs is the last radius.

    Args:
        evaluations: Records by the names of their runs, of one suite.
    """
    attacks = next(iter(evaluations.values())).header.attacks
    panels = []
    for family, names in families(attacks).items():
        info = attacks[names[0]]
        if not info.minimal and len({attacks[name].eps for name in names}) < 2:
            continue
        radii = _radii(evaluations, names[0]) if info.minimal else []
        curves = [
            _curve(run, evaluation, view, names, radii)
            for run, evaluation in evaluations.items()
            for view in evaluation.views
        ]
        panels.append(Panel(family, info, curves))
    return panels


def _radii(evaluations: Mapping[str, Evaluation], name: str) -> list[float]:
    largest = 0.0
    for evaluation in evaluations.values():
        info = evaluation.header.attacks[name]
        if math.isfinite(info.eps):
            largest = info.eps
            continue
        for view in evaluation.views:
            rows = evaluation.select(view, name)
            largest = max(largest, info.distance(rows)[info.misclassified(rows)].max(initial=0.0))
    return [largest * i / (_RADII - 1) for i in range(_RADII)]


def _curve(
    run: str, evaluation: Evaluation, view: str, names: Sequence[str], radii: Sequence[float]
) -> Curve:
    attacks = evaluation.header.attacks
    clean = clean_accuracy(evaluation.select(view, names[0]))
    if radii:
        rates = accuracy_curve(evaluation.select(view, names[0]), attacks[names[0]], radii[1:])
        return Curve(run, view, list(radii), [clean, *rates])
    lowest: dict[float, Rate] = {0.0: clean}
    for name in names:
        rate = robust_accuracy(evaluation.select(view, name), attacks[name])
        eps = attacks[name].eps
        lowest[eps] = min(rate, lowest.get(eps, rate), key=lambda rate: rate.value)
    return Curve(run, view, list(lowest), list(lowest.values()))
