"""The cells of a paper's table: the number that it prints, and those of ours with their records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from robust.errors import ConfigError, nearest
from robust.results.metrics import (
    Rate,
    clean_accuracy,
    resistance,
    robust_accuracy,
    success_rate,
    worst_robust_accuracy,
)
from robust.results.records import AttackInfo, Evaluation
from robust.results.rows import Row

MEASURED = "robustness"
"""The ``metric`` of tables of a measurement, `RobustnessMetrics`, instead of attacks."""
MEASURES = ("accuracy", "robustness", "distance", "sensitivity")
"""What a row of them may name as its ``measure``, entries of `robust.measures.measured_tables`."""
CLEAN_ROW, CLEAN = "clean accuracy", "clean"
"""Name of the rows without an attack, and what they have for a view."""

Metric = Callable[[Sequence[Row], AttackInfo], Rate]
"""A rate of the rows of one attack through one view."""


class Ours(NamedTuple):
    """A number of ours is a rate of records; without images it was not measured."""

    view: str
    """The view that was attacked; `CLEAN` without an attack."""
    rate: Rate = Rate(0, 0)
    evaluation: Evaluation | None = None
    attacks: tuple[str, ...] = ()
    """Of which the rate is the worst for each image."""


class PaperCell(NamedTuple):
    """A number of a paper, beside ours through the view of its attacker and through another."""

    row: str
    column: str
    published: float | None
    """None if it was lost, or is not given."""
    ours: Ours
    beside: Ours | None
    """None of clean accuracy, or where the table has one view."""


class Records(NamedTuple):
    """Records of the columns of a table.

    Args:
        columns: Of its suite.
        transferred: Of attacks crafted on another column, by that one and the attacked.
        adaptive: Of its ``adaptive_suite``.
    """

    columns: Mapping[str, Evaluation]
    transferred: Mapping[str, Mapping[str, Evaluation]]
    adaptive: Mapping[str, Evaluation]

    def attacked(
        self, row: Mapping[str, Any], column: str, view: str
    ) -> tuple[Evaluation | None, str]:
        """Return the records of a row's own attack, and the view that it saw."""
        source = row.get("crafted_on")
        if source in (None, column):
            return self.columns.get(column), view
        return self.transferred.get(source, {}).get(column), "transfer"

    def beside(self, row: Mapping[str, Any], column: str, view: str, metric: Metric) -> Ours:
        """Return the other number of a row, through another view or of other attacks."""
        if "adaptive" in row:
            return _worst(self.adaptive.get(column), row["adaptive"])
        return _measured(self.columns.get(column), row["attack"], view, metric)


def views_of(table: Mapping[str, Any]) -> tuple[str, str]:
    """Return the view of the paper's attacker, and the other one that is shown."""
    return table.get("view", "deployed"), table.get("beside", "adaptive")


def metric_of(table: Mapping[str, Any]) -> Metric:
    """Return what the numbers of a table are.

    Raises:
        ConfigError: If the table names no such metric.
    """
    if table["metric"] not in _METRICS:
        raise ConfigError(
            f"Expected the `metric` of {table['title']} to be one of {', '.join(_METRICS)}, but "
            f"got {table['metric']!r}.{nearest(table['metric'], _METRICS)}"
        )
    return _METRICS[table["metric"]]


def clean_cells(table: Mapping[str, Any], columns: Mapping[str, Evaluation]) -> Iterator[PaperCell]:
    """Yield the clean accuracy of each column."""
    for column in table["columns"]:
        evaluation, ours = columns.get(column), Ours(CLEAN)
        if evaluation is not None:
            view, attack = evaluation.views[0], next(iter(evaluation.header.attacks))
            rate = clean_accuracy(evaluation.select(view, attack))
            ours = Ours(CLEAN, rate, evaluation)
        yield PaperCell(CLEAN_ROW, column, table["clean_acc"].get(column), ours, None)


def attack_cells(table: Mapping[str, Any], records: Records) -> Iterator[PaperCell]:
    """Yield the cells of each row and column under attack.

    Raises:
        ConfigError: As `metric_of`.
    """
    view, beside = views_of(table)
    metric = metric_of(table)
    for name, row in table["rows"].items():
        for column, number in row["published"].items():
            found, seen = records.attacked(row, column, view)
            ours = _measured(found, row["attack"], seen, metric)
            other = records.beside(row, column, beside, metric) if view != beside else None
            yield PaperCell(name, column, number, ours, other)


def _all_images(rows: Sequence[Row], info: AttackInfo) -> Rate:
    return Rate(success_rate(rows, info).hits, len(rows))


_METRICS = {
    "attack success": success_rate,
    "attack success over all images": _all_images,
    "robust accuracy": robust_accuracy,
    "resistance": resistance,
}


def _measured(evaluation: Evaluation | None, attack: str, view: str, metric: Metric) -> Ours:
    if evaluation is None or attack not in evaluation.header.attacks:
        return Ours(view)
    rate = metric(evaluation.select(view, attack), evaluation.header.attacks[attack])
    return Ours(view, rate, evaluation, (attack,))


def _worst(evaluation: Evaluation | None, attacks: Sequence[str]) -> Ours:
    """Return the robust accuracy under the worst of some attacks for each image, adaptive."""
    if evaluation is None:
        return Ours("adaptive")
    infos = {name: evaluation.header.attacks[name] for name in attacks}
    named = Evaluation(replace(evaluation.header, attacks=infos), evaluation.rows)
    return Ours("adaptive", worst_robust_accuracy(named, "adaptive"), evaluation, tuple(attacks))
