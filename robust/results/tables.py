"""Tables over records: runs beside each other, and published numbers beside measured ones."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from robust.errors import ConfigError
from robust.results.cells import Metric, draw_line, draw_notes, rate_cell
from robust.results.metrics import (
    Rate,
    clean_accuracy,
    resistance,
    robust_accuracy,
    success_rate,
    ties,
    worst_robust_accuracy,
)
from robust.results.records import AttackInfo, Evaluation
from robust.results.rows import Row
from robust.results.verdict import verdict

MEASURED = "robustness"
"""The ``metric`` of tables that are of a measurement, `RobustnessMetrics`, not of attacks."""
MEASURES = ("accuracy", "robustness", "distance", "sensitivity")
"""What a row of them may name as its ``measure``, entries of `robust.measures.measured_tables`."""
_PIPE_WIDTH = 400
"""Columns of text where no terminal sets a width."""


@dataclass(frozen=True)
class Grid:
    """A table of strings, drawn in the terminal or as Markdown.

    Args:
        title: What the cells are.
        header: One name a column.
        rows: One cell a column.
        notes: Sentences below the table.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default=())

    def print(self, console: Console | None = None) -> None:
        """Draw the table in the terminal; in a file or pipe as wide as it needs to be.

        Args:
            console: Where to; standard output if None.
        """
        # A name is no markup: it prints as it is.
        console = Console(markup=False, emoji=False) if console is None else console
        table = Table(title=self.title, title_justify="left", box=box.SIMPLE_HEAD)
        for i, name in enumerate(self.header):
            table.add_column(
                name, justify="right" if i else "left", no_wrap=not console.is_terminal
            )
        for row in self.rows:
            table.add_row(*row)
            table.add_section()
        if not console.is_terminal:
            console.width = _PIPE_WIDTH
        console.print(table)
        for note in self.notes:
            console.print(note, highlight=False, soft_wrap=True)

    def markdown(self) -> str:
        """The table in Markdown, line breaks in cells as ``<br>``."""
        lines = [f"**{_markdown(self.title)}**", ""]
        lines += [
            _markdown_row(self.header),
            _markdown_row(["---", *["---:"] * (len(self.header) - 1)]),
        ]
        lines += [_markdown_row(row) for row in self.rows]
        lines += [""] + [f"{_markdown(note)}  " for note in self.notes]
        return "\n".join(lines) + "\n"


def comparison(evaluations: Mapping[str, Evaluation]) -> Grid:
    """Runs as rows, attacks as columns, and in each cell the success rate through every view.

    Args:
        evaluations: Records by the names of their runs, of one suite.
    """
    first = next(iter(evaluations.values()))
    attacks = list(first.header.attacks)
    verdicts = {name: verdict(evaluation) for name, evaluation in evaluations.items()}
    rows = [
        [name, *_run_cells(evaluation, attacks), verdicts[name].word]
        for name, evaluation in evaluations.items()
    ]
    return Grid(
        f"Attack success in %, suite {first.header.suite}, {first.header.data}",
        ["run", "view", "clean acc", *attacks, "robust acc", "verdict"],
        rows,
        [
            *(f"{name}: {found}." for name, found in verdicts.items()),
            *_notes(evaluations),
            *_tie_notes(evaluations),
            *_protocol_notes(evaluations),
        ],
    )


def print_comparison(evaluations: Mapping[str, Evaluation]) -> None:
    """Print `comparison` in the terminal."""
    comparison(evaluations).print()


def published(
    table: Mapping[str, Any],
    columns: Mapping[str, Evaluation],
    transferred: Mapping[str, Mapping[str, Evaluation]] | None = None,
    adaptive: Mapping[str, Evaluation] | None = None,
) -> Grid:
    """A table of a paper: published, measured, their difference, and the adaptive number.

    Args:
        table: Content of a file of ``papers/*/tables``. Its ``metric`` is ``attack success`` (of
            the attacked images), ``attack success over all images``, ``robust accuracy`` or
            ``resistance``; its ``view`` the one that the paper's attacker had, ``deployed`` if it
            names none; its ``beside`` the other view to show, ``adaptive`` if it names none. With
            a ``draw``, each so many images are also counted on their own. A row may
            name the column that its attack is ``crafted_on``, and attacks of another suite that
            its ``adaptive`` number is the worst of. Of what it has ``published``, null is lost.
        columns: Records by the table's columns; columns without records show what was published.
        transferred: Records of attacks crafted on another column, by that one and the attacked.
        adaptive: Records of the table's ``adaptive_suite`` by column.

    Raises:
        ConfigError: If the metric is none of these.
    """
    rate = _METRICS.get(table["metric"])
    if rate is None:
        raise ConfigError(
            f"Expected the `metric` of {table['title']} to be one of {', '.join(_METRICS)}, but "
            f"got {table['metric']!r}."
        )
    view, beside = table.get("view", "deployed"), table.get("beside", "adaptive")
    rows = [
        [
            "clean accuracy",
            column,
            *_clean_cells(table["clean_acc"].get(column), columns.get(column)),
        ]
        for column in table["columns"]
    ]
    for name, row in table["rows"].items():
        attack, source = row["attack"], row.get("crafted_on")
        for column in row["published"]:
            found, seen = columns.get(column), view
            if source not in (None, column):
                found, seen = (transferred or {}).get(source, {}).get(column), "transfer"
            measured = _measured(found, attack, seen, rate)
            if "adaptive" in row:
                best = _worst((adaptive or {}).get(column), row["adaptive"])
            else:
                best = _measured(columns.get(column), attack, beside, rate)
            cells = _compared(row["published"][column], measured)
            cells += [rate_cell(best) if best.n else ""]
            for place, shown in ((1, seen), (3, beside)):
                cells[place] += draw_line(found, attack, shown, rate, table.get("draw"))
            rows.append([name, column, *cells])
    mixed = any("crafted_on" in row for row in table["rows"].values())
    header = ["attack", "model", "paper", "measured" if mixed else view, "difference"]
    header += [beside] * (view != beside)
    rows = [[*row, ""][: len(header)] for row in rows]
    return Grid(
        f"{table['title']} ({table['metric']}, %)",
        header,
        rows,
        [
            *_protocol_notes(columns),
            *_notes(columns),
            *_adaptive_notes(table, adaptive or {}),
            *draw_notes(table),
        ],
    )


def _all_images(rows: Sequence[Row], info: AttackInfo) -> Rate:
    return Rate(success_rate(rows, info).hits, len(rows))


_METRICS = {
    "attack success": success_rate,
    "attack success over all images": _all_images,
    "robust accuracy": robust_accuracy,
    "resistance": resistance,
}


def _clean_cells(number: float | int | None, evaluation: Evaluation | None) -> list[str]:
    rate = None
    if evaluation is not None:
        view, attack = evaluation.views[0], next(iter(evaluation.header.attacks))
        rate = clean_accuracy(evaluation.select(view, attack))
    return _compared(number, rate, absent="-")


def _measured(
    evaluation: Evaluation | None,
    attack: str,
    view: str,
    rate: Metric,
) -> Rate:
    if evaluation is None or attack not in evaluation.header.attacks:
        return Rate(0, 0)
    return rate(evaluation.select(view, attack), evaluation.header.attacks[attack])


def _worst(evaluation: Evaluation | None, attacks: Sequence[str]) -> Rate:
    """Robust accuracy under the worst of some attacks for each image, through the adaptive view."""
    if evaluation is None:
        return Rate(0, 0)
    infos = {name: evaluation.header.attacks[name] for name in attacks}
    named = Evaluation(replace(evaluation.header, attacks=infos), evaluation.rows)
    return worst_robust_accuracy(named, "adaptive")


def _compared(number: float | int | None, rate: Rate | None, absent: str = "lost") -> list[str]:
    """Published, measured, difference."""
    cell = absent if number is None else f"{number:g}"
    if rate is None or not rate.n:
        return [cell, "not run", ""]
    difference = "" if number is None else f"{100 * rate.value - number:+.2f}"
    return [cell, rate_cell(rate), difference]


def _run_cells(evaluation: Evaluation, attacks: Sequence[str]) -> list[str]:
    views = evaluation.views
    clean = clean_accuracy(evaluation.select(views[0], attacks[0]))
    # Every view takes two lines, a rate and its interval.
    columns = [[f"{view}\n" for view in views], [rate_cell(clean)]]
    columns += [[rate_cell(_rate(evaluation, view, name)) for view in views] for name in attacks]
    columns += [[rate_cell(worst_robust_accuracy(evaluation, view)) for view in views]]
    return ["\n".join(cells) for cells in columns]


def _rate(evaluation: Evaluation, view: str, attack: str) -> Rate:
    return success_rate(evaluation.select(view, attack), evaluation.header.attacks[attack])


def _protocol_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    if not evaluations:
        return []
    first = next(iter(evaluations.values()))
    counts = sorted({len(np.unique(e.rows["index"])) for e in evaluations.values()})
    budgets = ", ".join(
        f"{name} {info.budget}{_goal(info)}" for name, info in first.header.attacks.items()
    )
    images = {"test": "test images", "train": "random training images"}[first.header.split]
    return [
        f"n = {' to '.join(map(str, counts))} {images}, seed {first.header.seed}. Success: "
        "share of the correctly classified images (targeted: of other classes) that were turned.",
        "robust acc: correct under every attack, per image. Second lines: 95 % Wilson intervals.",
        f"Threat models: {budgets}.",
    ]


def _adaptive_notes(table: Mapping[str, Any], adaptive: Mapping[str, Evaluation]) -> list[str]:
    """Which attacks the adaptive numbers are the worst of, where that is another suite."""
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


def _goal(info: AttackInfo) -> str:
    if info.target is None:
        return ""
    return " to a random class" if info.target == "random" else f" to class {info.target}"


def _notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    return [f"{name}: {note}" for name, found in evaluations.items() for note in found.notes]


def _tie_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    notes = []
    for name, evaluation in evaluations.items():
        view, attack = evaluation.views[0], next(iter(evaluation.header.attacks))
        rate = ties(evaluation.select(view, attack))
        if rate.hits:
            notes.append(
                f"{name}: the two best scores of {rate.hits} of {rate.n} clean images are exactly "
                "equal in float32; the first of them counts as the prediction."
            )
    return notes


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_markdown(cell).replace("\n", "<br>") for cell in cells) + " |"


def _markdown(text: str) -> str:
    """Text that prints as it is."""
    return re.sub(r"[|*`\\]", r"\\\g<0>", text).replace("<", "&lt;")
