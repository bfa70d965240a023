"""Every number of a card, with its interval, its n, and the record that it is derived from."""

import math
from collections.abc import Iterator
from typing import Any

from robust.io.radius import radius
from robust.report.protocols import Entry
from robust.results.comparing.paired import clean_images, robust_images
from robust.results.curves import accuracy_curves
from robust.results.metrics import Rate, robust_accuracy, success_rate, ties
from robust.results.records import AttackInfo

_FEW_RADII = 11
"""Points of a curve in a card."""


def number(rate: Rate, record: str) -> dict[str, Any]:
    """Return a rate in JSON's types; null where there were no images.

    Args:
        rate: The rate.
        record: The record that it is derived from.
    """
    low, high = rate.interval
    value = None if math.isnan(rate.value) else rate.value
    return {
        "value": value,
        "low": low,
        "high": high,
        "hits": rate.hits,
        "n": rate.n,
        "record": record,
    }


def results(entry: Entry, record: str) -> dict[str, dict[str, Any]]:
    """Return all rates of an evaluation by their names, as a requirement has them.

    Args:
        entry: A run under one protocol.
        record: Its record file.
    """
    evaluation = entry.evaluation
    found = {"clean": clean_images(evaluation).right, "robust": robust_images(evaluation).right}
    found |= {f"{view}.robust": robust_images(evaluation, view).right for view in evaluation.views}
    rates = {name: Rate(int(right.sum()), len(right)) for name, right in found.items()}
    for view, attack in entry.keys:
        rows, info = evaluation.select(view, attack), evaluation.header.attacks[attack]
        rates[f"{view}.{attack}.robust"] = robust_accuracy(rows, info)
        rates[f"{view}.{attack}.success"] = success_rate(rows, info)
    return {name: number(rate, record) for name, rate in rates.items()}


def attacks(entry: Entry, record: str) -> list[dict[str, Any]]:
    """Return the attacks with their arguments, the hash of their code, and what they cost."""
    return [
        {
            "name": name,
            "class": info.name,
            "arguments": _plain(info.arguments),
            "norm": info.norm,
            "eps": _finite(info.eps),
            "target": info.target,
            "minimal": info.minimal,
            "code_sha256": info.code_sha256,
            "cost": _cost(entry, name),
            "record": record,
        }
        for name, info in entry.evaluation.header.attacks.items()
    ]


def curve(entry: Entry, record: str) -> list[dict[str, Any]]:
    """Return robust accuracy against eps, a point a radius; empty where a suite has one eps."""
    return [
        {
            "family": panel.family,
            "view": each.view,
            "eps": eps,
            **number(rate, record),
        }
        for panel in accuracy_curves({entry.label: entry.evaluation})
        for each in panel.curves
        for eps, rate in _thinned(list(zip(each.eps, each.rates, strict=True)))
    ]


def tied(entry: Entry, record: str) -> dict[str, Any]:
    """Return the share of clean images whose two best scores are exactly equal."""
    evaluation = entry.evaluation
    first = evaluation.select(evaluation.views[0], next(iter(evaluation.header.attacks)))
    return number(ties(first), record)


def threat_models(entry: Entry) -> list[dict[str, Any]]:
    """Return the threat models in the words of NIST AI 100-2: goal, capability, knowledge."""
    budgets: dict[str, list[AttackInfo]] = {}
    for info in entry.evaluation.header.attacks.values():
        budgets.setdefault(info.budget, []).append(info)
    return [
        {
            "name": budget,
            "goal": _goals(infos),
            "capability": _capability(infos[0]),
            "knowledge": {view: KNOWLEDGE[view] for view in entry.evaluation.views},
            "queries": sorted({_access(info) for info in infos}),
        }
        for budget, infos in budgets.items()
    ]


KNOWLEDGE = {
    "deployed": "White box: the attacker differentiates the deployed scores, and does not work "
    "around the defense.",
    "published": "White box as the paper's attacker had it, who judged by what they saw.",
    "transfer": "Black box by transfer: images were crafted on another network.",
    "adaptive": "White box with full knowledge: the attacker works around the defense.",
}
_DECISIONS = {"BoundaryAttack", "HopSkipJump", "Pointwise"}
_SCORES = {"Square", "OnePixel", "Pixle"}


def _access(info: AttackInfo) -> str:
    if info.name in _DECISIONS:
        return "decisions"
    return "scores" if info.name in _SCORES else "gradients"


def _goals(infos: list[AttackInfo]) -> list[str]:
    targets = [info.target for info in infos]
    return [
        "Integrity violation by evasion, untargeted: any wrong class."
        if target is None
        else f"Integrity violation by evasion, targeted: {_class(target)}."
        for target in dict.fromkeys(targets)
    ]


def _class(target: int | str) -> str:
    return "a random other class" if target == "random" else f"class {target}"


def _capability(info: AttackInfo) -> str:
    within = (
        f"at most {radius(info.eps)} from it in {info.norm}"
        if math.isfinite(info.eps)
        else "at any distance from it"
    )
    return (
        f"Testing time, query access: each image is replaced by one {within}, with pixels in "
        "[0, 1]. Training data, weights and labels stay as they are."
    )


def _cost(entry: Entry, name: str) -> dict[str, float]:
    rows = [entry.evaluation.select(view, name) for view in entry.evaluation.views]
    known = [each for each in rows if len(each)]
    n = sum(len(each) for each in known)
    return {
        f"{column}_per_image": float(sum(each[column].sum() for each in known)) / n if n else 0.0
        for column in ("forwards", "seconds")
    }


def _thinned(points: list[tuple[float, Rate]]) -> Iterator[tuple[float, Rate]]:
    step = max(1, (len(points) - 1) // (_FEW_RADII - 1))
    yield from points[::step]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:  # noqa: ANN401 (of a record)
    """Return arguments without numbers that JSON does not have."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
