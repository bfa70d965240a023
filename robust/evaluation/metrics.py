"""Numbers derived from records, each with the number of samples behind it."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scipy.stats import binomtest

from robust.evaluation.records import AttackInfo, Evaluation, Row

_Z95 = 1.959963984540054


class Rate(NamedTuple):
    """A share of samples, with its 95 % Wilson interval."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """Hits over n; NaN without samples."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound of the 95 % Wilson score interval; (0, 1) without samples.

        Wilson 1927, https://doi.org/10.2307/2276774. Unlike the normal interval it is sound at
        rates of 0 and 1, where attacks usually are.
        """
        if not self.n:
            return 0.0, 1.0
        z2 = _Z95**2
        centre = (self.hits + z2 / 2) / (self.n + z2)
        spread = self.hits * (self.n - self.hits) / self.n + z2 / 4
        half = _Z95 / (self.n + z2) * math.sqrt(spread)
        return max(0.0, centre - half), min(1.0, centre + half)


def success_rate(rows: Sequence[Row], info: AttackInfo) -> Rate:
    """Share of the attacked samples on which the attack reached its goal within ``eps``."""
    return Rate(sum(info.succeeded(row) for row in rows), sum(row.attacked for row in rows))


def resistance(rows: Sequence[Row], info: AttackInfo) -> Rate:
    """Share of the attacked samples of which the attack found nothing that the defense falls for.

    Paranjape et al. 2020, section III-B: nothing was found, or the defense still predicts the class
    of what was found, as it may where the attack saw another view.
    """
    rate = success_rate(rows, info)
    return Rate(rate.n - rate.hits, rate.n)


def clean_accuracy(rows: Sequence[Row]) -> Rate:
    """Share of all samples that are classified correctly without an attack."""
    return Rate(sum(row.clean_pred == row.label for row in rows), len(rows))


def robust_accuracy(rows: Sequence[Row], info: AttackInfo) -> Rate:
    """Share of all samples that are classified correctly, and still so under the attack.

    A targeted attack that reaches another class than its target has broken the sample too.
    """
    held = sum(row.clean_pred == row.label and not info.broke(row) for row in rows)
    return Rate(held, len(rows))


def worst_robust_accuracy(evaluation: Evaluation, view: str) -> Rate:
    """Share of all samples that are correct under every attack of the suite, per sample."""
    held: dict[int, bool] = {}
    for name, info in evaluation.header.attacks.items():
        for row in evaluation.select(view, name):
            correct = row.clean_pred == row.label and not info.broke(row)
            held[row.index] = held.get(row.index, True) and correct
    return Rate(sum(held.values()), len(held))


def accuracy_curve(rows: Sequence[Row], info: AttackInfo, radii: Sequence[float]) -> list[Rate]:
    """Robust accuracy of a minimal-norm attack at every radius, from one crafting."""
    flips = [info.distance(row) for row in rows if row.attacked and row.adv_pred != row.label]
    correct = sum(row.clean_pred == row.label for row in rows)
    return [Rate(correct - sum(d <= radius for d in flips), len(rows)) for radius in radii]


def paired_p_value(first: Sequence[Row], second: Sequence[Row], info: AttackInfo) -> float:
    """Exact McNemar test that two runs are equally robust on the same samples.

    Raises:
        ValueError: If the rows are not of the same samples in the same order.
    """
    if [row.index for row in first] != [row.index for row in second]:
        raise ValueError("Expected rows of the same samples in the same order, but they differ.")
    held = [
        tuple(row.clean_pred == row.label and not info.broke(row) for row in pair)
        for pair in zip(first, second, strict=True)
    ]
    only_first, only_second = held.count((True, False)), held.count((False, True))
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def ties(rows: Sequence[Row]) -> Rate:
    """Share of clean images whose two best deployed scores are exactly equal."""
    return Rate(sum(row.clean_tie for row in rows), len(rows))


def zero_gradients(rows: Sequence[Row]) -> Rate:
    """Share of clean images at which the view's cross-entropy has an exactly zero gradient."""
    return Rate(sum(row.zero_gradient for row in rows), len(rows))


def summarize(evaluation: Evaluation) -> dict[str, float]:
    """What a run logs: every rate with its bounds, by view and attack."""
    rates: dict[str, Rate] = {}
    for view in evaluation.views:
        for name, info in evaluation.header.attacks.items():
            rows = evaluation.select(view, name)
            rates[f"test/success/{view}/{name}"] = success_rate(rows, info)
            rates[f"test/robust_acc/{view}/{name}"] = robust_accuracy(rows, info)
            rates[f"test/zero_gradient/{view}"] = zero_gradients(rows)
            rates["test/ties"] = ties(rows)
        rates[f"test/worst_robust_acc/{view}"] = worst_robust_accuracy(evaluation, view)
    return rate_numbers(rates)


def rate_numbers(rates: Mapping[str, Rate]) -> dict[str, float]:
    """Every rate with its bounds, as ``<key>``, ``<key>_low`` and ``<key>_high``."""
    numbers: dict[str, float] = {}
    for key, rate in rates.items():
        if rate.n:
            numbers[key] = rate.value
            numbers[f"{key}_low"], numbers[f"{key}_high"] = rate.interval
    return numbers
