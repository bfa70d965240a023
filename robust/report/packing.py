"""Data of charts is packed by column, with each string written once, and gets tooltips."""

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


_FORMATS = {"eps": ".4g", "value": ".4~g", "step": ",", "n": ",", "both": ",", "own": ","}
_TITLES = {
    "rate": "robust accuracy, %",
    "low": "95 % interval from",
    "high": "95 % interval to",
    "clean": "clean accuracy, %",
    "clean_low": "clean, 95 % from",
    "clean_high": "clean, 95 % to",
    "claim": "robust accuracy, worst case, %",
    "robust": "robust accuracy, worst case, %",
    "n": "test images",
    "share": "share, %",
    "row": "misclassified under",
    "column": "misclassified as well under",
    "both": "images misclassified under both",
    "own": "images misclassified under the first",
}
_WORDS = {"run", "view", "verdict", "axis", "row", "column"}


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
