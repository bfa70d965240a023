"""Data of charts is packed by column, with each string written once, and gets tooltips."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from robust.results.colors import COLORS

Columns = Mapping[str, Sequence[Any]]
"""Data of a chart by column; all columns are of one length."""


def color_names(runs: Sequence[str], defenses: Sequence[str]) -> tuple[str, list[str]]:
    """Return what colours tell apart and the names that have one: few runs, else defenses.

    Args:
        runs: Names of all runs.
        defenses: Their classes, which may repeat.
    """
    if len(runs) <= len(COLORS):
        return "run", list(runs)
    return "defense", sorted(set(defenses))


def spread(values: Sequence[float], least: float, low: float = -math.inf) -> list[float]:
    """Return positions near some values that are at least so far apart, in the values' order.

    The sum of squared distances from the values is the least possible (isotonic regression).

    Args:
        values: Where labels should stand.
        least: Distance between two neighbours.
        low: No position is lower.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    groups: list[tuple[float, int]] = []
    for rank, i in enumerate(order):
        mean, size = values[i] - rank * least, 1
        while groups and groups[-1][0] >= mean:
            other, count = groups.pop()
            mean, size = (other * count + mean * size) / (count + size), count + size
        groups.append((mean, size))
    means = [mean for mean, size in groups for _ in range(size)]
    placed = [0.0] * len(values)
    for rank, i in enumerate(order):
        placed[i] = max(means[rank], low) + rank * least
    return placed


def pack(columns: Columns) -> dict[str, Any]:
    """Return columns for the page, in which each string is written once."""
    packed: dict[str, Any] = {}
    for name, values in columns.items():
        if values and all(isinstance(value, str) for value in values):
            words = list(dict.fromkeys(values))
            code = {word: i for i, word in enumerate(words)}
            packed[name] = {"words": words, "codes": [code[value] for value in values]}
        else:
            packed[name] = [round(v, 5) if isinstance(v, float) else v for v in values]
    return packed


_FORMATS = {"value": ".4~g", "step": ",", "n": ",", "both": ",", "own": ","}
_TITLES = {
    "rate": "robust accuracy, %",
    "low": "95 % interval from",
    "high": "95 % interval to",
    "clean": "clean accuracy, %",
    "clean_low": "clean, 95 % from",
    "clean_high": "clean, 95 % to",
    "claim": "robust accuracy, worst case, %",
    "robust": "robust accuracy, worst case, %",
    "within": "eps",
    "n": "test images",
    "share": "share, %",
    "row": "misclassified under",
    "column": "misclassified as well under",
    "both": "images misclassified under both",
    "own": "images misclassified under the first",
}
_WORDS = {"run", "view", "verdict", "axis", "row", "column", "within"}


def tooltip(*columns: str) -> list[alt.Tooltip]:
    """Return the tooltip of a point, by column, under the names of `_TITLES`."""
    return [
        alt.Tooltip(f"{name}:N", title=_TITLES.get(name, name))
        if name in _WORDS
        else alt.Tooltip(
            f"{name}:Q", title=_TITLES.get(name, name), format=_FORMATS.get(name, ".1f")
        )
        for name in columns
    ]
