"""Numbers are derived from records, each with the number of samples behind it."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from robust.results.rates import Z95
from robust.results.rates import Rate as Rate
from robust.results.records import AttackInfo, Evaluation
from robust.results.rows import Column, Row, Rows
from robust.vocabulary import limit_of


class Mean(NamedTuple):
    """A mean over samples."""

    value: float
    error: float
    """Its standard error; NaN of fewer than two samples."""
    median: float
    """Of the samples; far below the mean where few of them carry that."""

    @classmethod
    def from_values(cls, values: Sequence[float]) -> "Mean":
        """Return the mean of a vector of values; NaN if it is empty."""
        n, column = len(values), np.asarray(values, dtype=np.float64)
        if not n:
            return cls(math.nan, math.nan, math.nan)
        error = column.std(ddof=1).item() / math.sqrt(n) if n > 1 else math.nan
        return cls(column.mean().item(), error, np.median(column).item())

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the 95 % normal interval; too narrow where few samples carry the mean."""
        half = Z95 * self.error
        return self.value - half, self.value + half


def success_rate(rows: Sequence[Row], info: AttackInfo) -> Rate:
    """Return the share of the attacked samples on which the attack succeeded within ``eps``."""
    found = Rows.from_rows(rows)
    return Rate(int(info.succeeded(found).sum()), int(found["attacked"].sum()))


def resistance(rows: Sequence[Row], info: AttackInfo) -> Rate:
    """Return the share of the attacked samples on which the attack failed.

    Paranjape et al. 2020, section III-B: nothing was found, or the defense still predicts the label
    of what was found. The latter happens where the attack saw another view.
    """
    rate = success_rate(rows, info)
    return Rate(rate.n - rate.hits, rate.n)


def clean_accuracy(rows: Sequence[Row]) -> Rate:
    """Return the share of all samples that are classified correctly without an attack."""
    found = Rows.from_rows(rows)
    return _share(found["clean_pred"] == found["label"])


def robust_accuracy(rows: Sequence[Row], info: AttackInfo) -> Rate:
    """Return the share of all samples that are classified correctly, also under the attack.

    Under a targeted attack a sample of any wrong class counts as misclassified.
    """
    return _share(info.robust(Rows.from_rows(rows)))


def worst_robust_accuracy(evaluation: Evaluation, view: str) -> Rate:
    """Return the share of all samples that are robust under every attack of the suite."""
    return _share(evaluation.survivors(view)[1])


def accuracy_curve(rows: Sequence[Row], info: AttackInfo, radii: Sequence[float]) -> list[Rate]:
    """Return the robust accuracy of a minimal-norm attack at every radius, from one crafting."""
    found = Rows.from_rows(rows)
    distances = np.sort(info.distance(found)[info.misclassified(found)])
    clean = clean_accuracy(found)
    limits = [limit_of(radius) for radius in radii]  # as a table counts them
    counts = np.searchsorted(distances, limits, side="right").tolist()
    return [Rate(clean.hits - count, clean.n) for count in counts]


def ties(rows: Sequence[Row]) -> Rate:
    """Return the share of clean images whose two best deployed scores are exactly equal."""
    return _share(Rows.from_rows(rows)["clean_tie"])


def zero_gradients(rows: Sequence[Row]) -> Rate:
    """Return the share of clean images where the view's cross-entropy has a gradient of zero."""
    return _share(Rows.from_rows(rows)["zero_gradient"])


def not_finite_gradients(rows: Sequence[Row]) -> Rate:
    """Return the share of images for which the attack met a gradient that is not finite."""
    return _share(Rows.from_rows(rows)["not_finite"])


def dropped(rows: Sequence[Row]) -> Rate:
    """Return the share of images that the attack gave up before its last steps."""
    return _share(Rows.from_rows(rows)["dropped"])


def summarize(evaluation: Evaluation) -> dict[str, float]:
    """Return what a run logs: every rate with its bounds, by view and attack."""
    rates: dict[str, Rate] = {}
    for view in evaluation.views:
        for name, info in evaluation.header.attacks.items():
            rows = evaluation.select(view, name)
            rates[f"test/success/{view}/{name}"] = success_rate(rows, info)
            rates[f"test/robust_acc/{view}/{name}"] = robust_accuracy(rows, info)
            rates[f"test/zero_gradient/{view}"] = zero_gradients(rows)
            rates["test/ties"] = ties(rows)
            not_finite = not_finite_gradients(rows)
            if not_finite.hits:
                rates[f"test/not_finite_gradient/{view}/{name}"] = not_finite
            if rows["dropped"].any():
                rates[f"test/dropped/{view}/{name}"] = dropped(rows)
        rates[f"test/worst_robust_acc/{view}"] = worst_robust_accuracy(evaluation, view)
    rates |= _unit_test(evaluation)
    random = {"test/random": 1.0} if evaluation.header.random else {}
    return {**rate_numbers(rates), **random}


def _unit_test(evaluation: Evaluation) -> dict[str, Rate]:
    """Return scores of the attack unit test, as `robust measure` calls them."""
    trials = {} if evaluation.evidence is None else evaluation.evidence.trials
    return {
        f"test/unit_test/{view}/{score.attack}": score.found
        for each in trials.values()
        for view, score in each.scores.items()
    }


def rate_numbers(rates: Mapping[str, Rate]) -> dict[str, float]:
    """Return every rate with its bounds, as ``<key>``, ``<key>_low`` and ``<key>_high``."""
    numbers: dict[str, float] = {}
    for key, rate in rates.items():
        if rate.n:
            numbers[key] = rate.value
            numbers[f"{key}_low"], numbers[f"{key}_high"] = rate.interval
    return numbers


def mean_numbers(means: Mapping[str, Mean]) -> dict[str, float]:
    """Return every mean with bounds and median, as far as known; `rate_numbers` has the names."""
    numbers: dict[str, float] = {}
    for key, mean in means.items():
        low, high = mean.interval
        numbers |= {key: mean.value, f"{key}_low": low, f"{key}_high": high}
        numbers[f"{key}_median"] = mean.median
    return {key: value for key, value in numbers.items() if not math.isnan(value)}


def _share(hits: Column) -> Rate:
    return Rate(int(hits.sum()), len(hits))
