"""Tables show the numbers of a paper beside ours."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from robust.results.cells import Cell, Content, Grid, Shares, Stack, Value
from robust.results.metrics import Rate
from robust.results.published.agreement import NOTE, STYLES, agreement
from robust.results.published.cells import (
    Metric,
    Ours,
    PaperCell,
    Records,
    attack_cells,
    clean_cells,
    metric_of,
    views_of,
)
from robust.results.records import Evaluation
from robust.results.tables import protocol_notes, run_notes


def paper_table(
    table: Mapping[str, Any],
    columns: Mapping[str, Evaluation],
    transferred: Mapping[str, Mapping[str, Evaluation]] | None = None,
    adaptive: Mapping[str, Evaluation] | None = None,
) -> Grid:
    """Return a table of a paper beside our numbers, under its attack and through another view.

    A row may name the column that its attack is ``crafted_on``, and attacks of another suite that
    its ``adaptive`` number is the worst of. A number that is null was lost.

    Args:
        table: Content of a file of ``papers/*/tables``. Its ``metric`` is ``attack success`` (of
            the attacked images), ``attack success over all images``, ``robust accuracy`` or
            ``resistance``. Its ``view`` is that of the paper's attacker (default ``deployed``).
            Its ``beside`` is the other one to show (default ``adaptive``). With a ``draw``, each
            so many images are also counted on their own.
        columns: Records by the table's columns; a column without any shows the paper's numbers.
        transferred: Records of attacks crafted on another column, by that one and the attacked.
        adaptive: Records of the table's ``adaptive_suite`` by column.

    Raises:
        ConfigError: If the metric is none of these.
    """
    metric, (view, beside) = metric_of(table), views_of(table)
    records = Records(columns, transferred or {}, adaptive or {})
    header = ["attack", "model", "paper", "ours, paper's attack", "difference", "agreement"]
    header += [f"ours, {beside}"] * (view != beside)
    clean = [_row(cell, absent="not given") for cell in clean_cells(table, columns)]
    attacked = _attack_rows(table, records, metric)
    return Grid(
        f"{table['title']} ({table['metric']}, %)",
        header,
        [[*row, ""][: len(header)] for row in (*clean, *attacked)],
        [
            *_view_notes(table, view),
            *protocol_notes(columns),
            *([NOTE] if columns else []),
            *run_notes(columns),
            *_adaptive_notes(table, records.adaptive),
            *_part_notes(table),
        ],
        styles=STYLES,
    )


def _row(cell: PaperCell, absent: str = "lost") -> list[Content]:
    compared = _compared(cell.published, cell.ours.rate, absent)
    return [cell.row, cell.column, *compared]


def _attack_rows(
    table: Mapping[str, Any], records: Records, metric: Metric
) -> Iterator[list[Content]]:
    size = table.get("draw")
    for cell in attack_cells(table, records):
        attack = table["rows"][cell.row]["attack"]
        name, column, paper, ours, *rest = _row(cell)
        assert not isinstance(ours, Stack)
        row = [name, column, paper, _with_parts(ours, _parts(cell.ours, attack, metric, size))]
        if cell.beside is None:
            yield [*row, *rest]
            continue
        other = cell.beside.rate
        parts = _parts(cell.beside, attack, metric, size)
        yield [*row, *rest, _with_parts(Cell.from_rate(other) if other.n else "", parts)]


def _compared(number: float | None, rate: Rate, absent: str) -> list[Value]:
    """Return the number of the paper, ours, the difference and whether they agree."""
    paper = absent if number is None else f"{number:g}"
    if not rate.n:
        return [paper, "not run", "", ""]
    difference = "" if number is None else f"{100 * rate.value - number:+.2f}"
    cell = Cell.from_rate(rate)
    return [paper, cell, difference, agreement(number, 100 * cell.low, 100 * cell.high)]


def _parts(ours: Ours, attack: str, metric: Metric, size: int | None) -> Shares | None:
    """Return the rate of each ``size`` samples; None if there are fewer than two such parts."""
    if ours.evaluation is None or size is None or ours.attacks != (attack,):
        return None
    rows = ours.evaluation.select(ours.view, attack)
    parts = rows["index"] // size
    numbers = np.unique(parts)
    if len(numbers) < 2:
        return None
    info = ours.evaluation.header.attacks[attack]
    return Shares(tuple(metric(rows.where(parts == number), info).value for number in numbers))


def _with_parts(value: Value, parts: Shares | None) -> Content:
    return value if parts is None else Stack((value, parts))


def _view_notes(table: Mapping[str, Any], view: str) -> list[str]:
    """Return which view the paper's attacker saw, where all rows have one."""
    if any("crafted_on" in row for row in table["rows"].values()):
        return []
    return [f"ours, paper's attack: through the view {view}."]


def _part_notes(table: Mapping[str, Any]) -> list[str]:
    size = table.get("draw")
    return [] if size is None else [f"Third lines: each {size} images on their own."]


def _adaptive_notes(table: Mapping[str, Any], adaptive: Mapping[str, Evaluation]) -> list[str]:
    """Return of which attacks the adaptive numbers are the worst, if they have their own suite."""
    if not adaptive:
        return []
    header = next(iter(adaptive.values())).header
    rows: dict[str, list[str]] = {}
    for name, row in table["rows"].items():
        if "adaptive" in row:
            attacks = [f"{a} ({header.attacks[a].budget})" for a in row["adaptive"]]
            rows.setdefault(", ".join(attacks), []).append(name)
    worst = "; ".join(f"{attacks} beside {', '.join(names)}" for attacks, names in rows.items())
    return [f"adaptive: correct under the worst for each image, white box, of {worst}."]
