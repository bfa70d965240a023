"""What was measured of a run, by the names that a requirement may use."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, get_args

from robust.results.comparing.paired import clean_images, robust_images
from robust.results.metrics import Rate, summarize
from robust.results.records import AttackInfo, Evaluation
from robust.vocabulary import View

VIEWS = (*get_args(View), "transfer")


class Measured(NamedTuple):
    """A measured share has an interval and a record.

    Args:
        value: The share, 0 to 1.
        low: Lower bound of its 95 % interval.
        high: Upper bound of it.
        n: Number of images; None where the record does not say.
        record: Where it is from.
    """

    value: float
    low: float
    high: float
    n: int | None
    record: str


def of_records(evaluation: Evaluation, record: str) -> dict[str, Measured]:
    """Return the clean accuracy, and the robust accuracy by view and through every view.

    Scores of the attack unit test are among them where the records have some.

    Args:
        evaluation: The records.
        record: Their name.
    """
    rights = {"clean": clean_images(evaluation).right, "robust": robust_images(evaluation).right}
    rights |= {f"{v}.robust": robust_images(evaluation, v).right for v in evaluation.views}
    rates = {name: Rate(int(right.sum()), len(right)) for name, right in rights.items()}
    logged = summarize(evaluation)
    scores = {key: value for key, value in logged.items() if key.startswith("test/unit_test/")}
    tried = of_numbers(scores, record, evaluation.header.attacks, _tested(evaluation))
    return tried | {
        name: Measured(rate.value, *rate.interval, rate.n, record) for name, rate in rates.items()
    }


def _tested(evaluation: Evaluation) -> dict[str, int]:
    """Return on how many images each score of the attack unit test beside records was counted."""
    trials = {} if evaluation.evidence is None else evaluation.evidence.trials
    return {
        f"test/unit_test/{view}/{score.attack}": score.found.n
        for each in trials.values()
        for view, score in each.scores.items()
    }


def of_numbers(
    numbers: Mapping[str, float],
    record: str,
    attacks: Mapping[str, AttackInfo],
    counts: Mapping[str, int] | None = None,
) -> dict[str, Measured]:
    """Return certified accuracies and scores of the attack unit test, from what a run logs.

    Args:
        numbers: By key, with their bounds under ``<key>_low`` and ``<key>_high``.
        record: Where they are from.
        attacks: Those of the suite, which say at which threat model each was tried.
        counts: Numbers of images by the same keys, as far as they are known.
    """
    n = counts or {}
    found: dict[str, Measured] = {}
    scores: dict[str, dict[str, Measured]] = {}
    for key in numbers:
        share = _measured(numbers, key, record, n.get(key))
        if certified := re.fullmatch(r"test/certified/radius_([\d.e+-]+)", key):
            found[f"certified@{float(certified[1]):g}"] = share
        elif tried := re.fullmatch(r"test/unit_test/(\w+)/(.+?)(?<!_low)(?<!_high)", key):
            scores.setdefault(tried[1], {})[tried[2]] = share
    for view in VIEWS:
        if view in scores:
            found[f"{view}.unit_test"] = _strongest(scores[view], attacks)
    if "adaptive.unit_test" in found:
        found["unit_test"] = found["adaptive.unit_test"]
    return found


def names_of(evaluations: Iterable[Evaluation]) -> Sequence[str]:
    """Return the names that always can be measured of some evaluations."""
    views = {view for evaluation in evaluations for view in evaluation.views}
    return ["clean", "robust", *(f"{view}.robust" for view in VIEWS if view in views)]


def _measured(numbers: Mapping[str, float], key: str, record: str, n: int | None) -> Measured:
    value = numbers[key]
    return Measured(
        value, numbers.get(f"{key}_low", 0.0), numbers.get(f"{key}_high", 1.0), n, record
    )


def _strongest(scores: Mapping[str, Measured], attacks: Mapping[str, AttackInfo]) -> Measured:
    """Return the best score of an attack, at the threat model where the best is least."""
    best: dict[str, Measured] = {}
    for name, score in scores.items():
        budget = attacks[name].budget if name in attacks else ""
        best[budget] = max(best.get(budget, score), score, key=lambda each: each.value)
    return min(best.values(), key=lambda each: each.value)
