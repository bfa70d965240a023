"""Tables of papers that are not of attacks: published numbers beside those of a measurement."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from robust.measures.robustness import MinimalPerturbation, Robustness
from robust.results.cells import Content, Grid, stack
from robust.results.metrics import Mean, Rate
from robust.results.published.agreement import NOTE, STYLES, agreement
from robust.types import View

_NOTES = (
    "code: as the authors' code computes it, its search included, which leaves most images alone "
    "after the second eps; this is what the paper's number is to be compared with.",
    "correct: each image at the first eps of 0.05, 0.10, ..., 1 at which FGSM succeeds. adaptive: "
    "the same through the adaptive view. Second lines: 95 % Wilson intervals, or the paper's "
    "definition where its code has another.",
)


class _Measure(NamedTuple):
    coded: Callable[[Robustness], Rate | Mean | float]
    """By the authors' code."""
    correct: Callable[[Robustness], tuple[Rate] | tuple[Mean, Mean] | tuple[float, float]]
    """By the correct search: a rate, or the formulas of the code and of the paper."""
    note: str


def _distances(made: MinimalPerturbation) -> tuple[float, float]:
    return made.distance.squared, made.distance.l2


MEASURES: dict[str, _Measure] = {
    "accuracy": _Measure(
        lambda measured: measured.published.accuracy,
        lambda measured: (measured.minimal.accuracy,),
        "accuracy: share of all images that are of their true label afterwards.",
    ),
    "robustness": _Measure(
        lambda measured: measured.published.robustness_changed.linf,
        lambda measured: measured.minimal.robustness_changed[:2],
        "robustness: mean of |dx| / |x| over the changed images, in Linf by the code and in L2 by "
        "the paper.",
    ),
    "distance": _Measure(
        lambda measured: _distances(measured.published)[0],
        lambda measured: _distances(measured.minimal),
        "distance of the changed images to the nearest training image: mean of its square / |x|_2 "
        "by the code, of itself by the paper.",
    ),
    "sensitivity": _Measure(
        lambda measured: measured.sensitivity.prediction,
        lambda measured: (measured.sensitivity.prediction, measured.sensitivity.loss),
        "sensitivity: mean L2 norm of the input gradient, of the predicted class's softmax output "
        "by the code and of the cross-entropy by the paper, +- 1.96 standard errors, and their "
        "median.",
    ),
}
"""What a row may name as its ``measure``."""


class Number(NamedTuple):
    """A number of ours in the unit of the table; bounds are NaN where it has no interval."""

    value: float
    low: float
    high: float


class MeasuredCell(NamedTuple):
    """A number of a paper, beside ours as its authors' code computes it and adaptively."""

    row: str
    column: str
    published: float | None
    ours: Number | None
    """Through the view of the paper's attacker; None if it was not measured."""
    beside: Number | None
    """By the correct search through the adaptive view, and by the formula of the code."""
    n: int


def measured_cells(
    table: Mapping[str, Any], columns: Mapping[str, Mapping[View, Robustness]]
) -> Iterator[MeasuredCell]:
    """Yield the cells of a table that were measured, with their numbers.

    Args:
        table: As `published_measures` takes it.
        columns: Results by the table's columns.
    """
    view = table.get("view", "deployed")
    for name, row in table["rows"].items():
        measure = MEASURES[row["measure"]]
        for column, number in row["published"].items():
            result = columns.get(column, {})
            measured, adaptive = result.get(view), result.get("adaptive")
            ours = None if measured is None else _number(measure.coded(measured))
            beside = None if adaptive is None else _number(measure.correct(adaptive)[0])
            for found in filter(None, [measured or adaptive]):
                yield MeasuredCell(name, column, number, ours, beside, found.sensitivity.n)


def _number(found: Rate | Mean | float) -> Number:
    """Return a number in the unit of a table, in which rates are in %."""
    if isinstance(found, Rate):
        low, high = found.interval
        return Number(100 * found.value, 100 * low, 100 * high)
    if isinstance(found, Mean):
        return Number(found.value, *found.interval)
    return Number(found, math.nan, math.nan)


def published_measures(
    table: Mapping[str, Any], columns: Mapping[str, Mapping[View, Robustness]]
) -> Grid:
    """A table of a paper beside what `RobustnessMetrics` measured, by its code, right and adaptive.

    Args:
        table: Content of a file of ``papers/*/tables`` with metric ``robustness``; each row names
            one of `MEASURES`. Its ``view`` is the one that the paper's attacker had, ``deployed``
            if it names none.
        columns: Results by the table's columns; those without show what was published.
    """
    view = table.get("view", "deployed")
    rows = [
        [name, column, *_cells(row, column, columns.get(column, {}), view)]
        for name, row in table["rows"].items()
        for column in row["published"]
    ]
    measures = dict.fromkeys(row["measure"] for row in table["rows"].values())
    counts = {result[v].sensitivity.n for result in columns.values() for v in result}
    return Grid(
        f"{table['title']} (through the {view} view)",
        ["measure", "model", "paper", "code", "difference", "agreement", "correct", "adaptive"],
        rows,
        [
            *(f"n = {n} test images." for n in sorted(counts)),
            *([NOTE] if counts else []),
            *_NOTES,
            *(MEASURES[name].note for name in measures),
        ],
        styles=STYLES,
    )


def _cells(
    row: Mapping[str, Any], column: str, result: Mapping[View, Robustness], view: View
) -> Sequence[Content]:
    number, measure = row["published"][column], MEASURES[row["measure"]]
    paper = "lost" if number is None else f"{number:g}"
    measured, adaptive = result.get(view), result.get("adaptive")
    shown = "" if adaptive is None else stack(*measure.correct(adaptive))
    if measured is None:
        return [paper, "not run", "", "", "", shown]
    coded = measure.coded(measured)
    ours = _number(coded)
    difference = "" if number is None or math.isnan(ours.value) else f"{ours.value - number:+.4g}"
    agrees = "" if math.isnan(ours.low) else agreement(number, ours.low, ours.high)
    return [paper, stack(coded), difference, agrees, stack(*measure.correct(measured)), shown]
