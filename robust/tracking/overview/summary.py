"""The summary of a run in W&B is short: what to compare runs by. A table has the rest."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

SUMMARY_LIMIT = 25
"""Keys that a run has in its summary, with W&B's own."""
EVERYTHING = "test/all"
"""The table with every number of a test."""
_OWN = 4
"""Of W&B: ``_step``, ``_runtime``, ``_timestamp``, ``_wandb``."""
_LATER = 4
"""Of a test's end: the verdict, its reason, and two tables."""
_BOUNDS = ("low", "high", "median")
_BOUND = re.compile(rf"_({'|'.join(_BOUNDS)})$")
_ADAPTIVE = "test/worst_robust_acc/adaptive"
_DETAILS = re.compile(
    r"test/(success|robust_acc|zero_gradient|not_finite_gradient|dropped|ties|unit_test)(/|$)"
    r"|test/robustness/.*(/published/|_flipped$|/squared_distance$|/prediction_sensitivity$)"
)


class Number(NamedTuple):
    """A number of a test with its bounds, a row of the table."""

    metric: str
    value: float
    low: float | None
    high: float | None
    median: float | None


class ShortSummary:
    """It decides for each new key of a run whether the summary has it.

    Numbers of single attacks and bounds are left to the table, except those of the adaptive worst
    case. Of the rest come first those that are logged first.
    """

    def __init__(self) -> None:
        self._seen: dict[str, bool] = {}
        self.numbers: dict[str, float] = {}
        """All numbers of a test."""

    def hidden(self, metrics: Mapping[str, Any]) -> list[str]:
        """Return which of these keys are new and not for the summary."""
        self.numbers |= {
            key: float(value)
            for key, value in metrics.items()
            if key.startswith("test/") and _is_number(value)
        }
        new = [key for key in metrics if key not in self._seen]
        for key in new:
            is_full = sum(self._seen.values()) >= SUMMARY_LIMIT - _OWN - _LATER
            self._seen[key] = _is_number(metrics[key]) and not _is_detail(key) and not is_full
        return [key for key in new if not self._seen[key] and _is_number(metrics[key])]

    def table(self) -> list[Number]:
        """Return every number of the test, with its bounds beside it."""
        return [
            Number(key, value, *(self.numbers.get(f"{key}_{bound}") for bound in _BOUNDS))
            for key, value in self.numbers.items()
            if not self._is_bound(key)
        ]

    def _is_bound(self, key: str) -> bool:
        return _BOUND.sub("", key) in self.numbers.keys() - {key}


def _is_detail(key: str) -> bool:
    is_bound = _BOUND.search(key) is not None and _BOUND.sub("", key) != _ADAPTIVE
    return is_bound or _DETAILS.match(key) is not None


def _is_number(value: Any) -> bool:  # noqa: ANN401
    return hasattr(value, "__float__")
