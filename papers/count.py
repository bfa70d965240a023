"""Count the numbers that the papers print: how many are measured here, and which agree.

``python papers/count.py`` prints a row for each table. With ``--missing`` it also prints what is
not measured through the view of the paper's attacker, with the command for it and its hours.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from robust.commands.options.reproduce import SCALES, parse, parts, plan
from robust.loading.parsing.fractions import read_yaml
from robust.results.cells import Grid
from robust.results.published.agreement import AGREES, agreement
from robust.results.published.cells import CLEAN, CLEAN_ROW, views_of
from robust.results.published.result_file import Result, read_results

PAPERS = Path(__file__).resolve().parent


class Cell(NamedTuple):
    """A number that a paper prints, with ours through the view of its attacker and the other."""

    row: str
    column: str
    published: float | None
    """None if it was lost."""
    ours: Result | None
    beside: Result | None

    @property
    def agreement(self) -> str:
        """Whether the paper's number lies within the interval of ours; empty if it has none."""
        if self.ours is None or self.ours.low is None or self.ours.high is None:
            return ""
        return agreement(self.published, self.ours.low, self.ours.high)


class Table(NamedTuple):
    """A table of a paper."""

    paper: str
    name: str
    content: Mapping[str, Any]
    clean: Sequence[Cell]
    cells: Sequence[Cell]
    """Those under attack, or measured."""

    @property
    def part(self) -> str:
        """The part of ``reproduce.sh`` that it is."""
        return self.name.removeprefix(f"{self.paper}_")

    @property
    def printed(self) -> list[Cell]:
        """The cells whose numbers are legible."""
        return [cell for cell in self.cells if cell.published is not None]


def tables(folder: Path = PAPERS) -> list[Table]:
    """Return all tables, with our numbers of ``results.csv`` beside them.

    Args:
        folder: That of the papers.

    Raises:
        ConfigError: If a file of results is damaged.
    """
    found = []
    for path in sorted(folder.glob("*/tables/*.yaml")):
        paper, content = path.parents[1], read_yaml(path)
        results = read_results(paper / "results.csv")
        ours = [result for result in results if result.table == path.stem]
        clean = _cells(content, [(CLEAN_ROW, content.get("clean_acc", {}))], ours)
        rows = [(name, row["published"]) for name, row in content["rows"].items()]
        found.append(Table(paper.name, path.stem, content, clean, _cells(content, rows, ours)))
    return found


def _cells(
    content: Mapping[str, Any],
    rows: Iterable[tuple[str, Mapping[str, float | None]]],
    ours: Iterable[Result],
) -> list[Cell]:
    view, beside = views_of(content)
    found: dict[tuple[str, str, bool], Result] = {
        (r.row, r.column, r.view == beside and r.view not in (view, CLEAN)): r for r in ours
    }
    return [
        Cell(name, column, number, *(found.get((name, column, side)) for side in (False, True)))
        for name, row in rows
        for column, number in row.items()
    ]


class Counts(NamedTuple):
    """How many of some cells there are, and how many are measured."""

    printed: int
    ours: int
    beside: int
    both: int
    agree: int
    lost: int


def counts(cells: Sequence[Cell]) -> Counts:
    """Return the counts of cells; only of the legible ones it is counted what is measured."""
    printed = [cell for cell in cells if cell.published is not None]
    return Counts(
        len(printed),
        sum(cell.ours is not None for cell in printed),
        sum(cell.beside is not None for cell in printed),
        sum(cell.ours is not None and cell.beside is not None for cell in printed),
        sum(cell.agreement == AGREES for cell in printed),
        len(cells) - len(printed),
    )


HEADER = ["printed", "ours, paper's attack", "ours, adaptive", "both", "agree", "lost"]


def count_grid(found: Sequence[Table]) -> Grid:
    """Return a table of counts: a row for each table, each paper and all of them."""
    rows: list[list[str]] = []
    for paper in dict.fromkeys(table.paper for table in found):
        of_paper = [table for table in found if table.paper == paper]
        own = [table for table in of_paper if table.cells]
        rows += [[paper, table.part, *_shown(table.cells)] for table in own]
        rows.append([paper, "all", *_shown([cell for table in own for cell in table.cells])])
    every = [cell for table in found for cell in table.cells]
    return Grid(
        "Numbers under attack that five papers print",
        ["paper", "table", *HEADER],
        [*rows, ["all", "all", *_shown(every)]],
        [
            "printed: legible numbers under attack; clean accuracies are not counted.",
            "ours, adaptive: through the other view of the table, in paranjape2020 end to end.",
            "agree: the paper's number lies within the 95 % interval of ours, paper's attack.",
        ],
    )


def _shown(cells: Sequence[Cell]) -> list[str]:
    return [str(count) for count in counts(cells)]


class Missing(NamedTuple):
    """Cells of one table that one command measures."""

    table: str
    rows: list[str]
    cells: int
    command: str
    hours: str


def missing(found: Sequence[Table]) -> Iterator[Missing]:
    """Yield what is not measured through the view of the paper's attacker, with its command.

    Args:
        found: Tables with our numbers.
    """
    for table in found:
        groups: dict[str, list[Cell]] = {}
        for cell in table.printed or table.clean:
            if cell.ours is None:
                groups.setdefault(_scale(table, cell), []).append(cell)
        for scale, cells in groups.items():
            rows = list(dict.fromkeys(cell.row for cell in cells))
            hours = _hours(table.paper, scale)[table.part]
            flag = "" if scale == "cpu" else f" --scale {scale}"
            command = f"robust reproduce {table.paper} {table.part}{flag}"
            yield Missing(table.name, rows, len(cells), command, f"{hours:g}")


def _scale(table: Table, cell: Cell) -> str:
    """Return the smallest scale that measures a cell, of those that have not left it out."""
    attack = _attack(table, cell)
    for scale in SCALES[1:]:
        done = any(
            other.ours is not None
            and _is_of(other.ours, scale)
            and (_attack(table, other) == attack if attack else other.row == cell.row)
            for other in (*table.clean, *table.cells)
        )
        patterns = _patterns(table.paper, table.part, scale)
        attacked = attack is None or any(fnmatchcase(attack, pattern) for pattern in patterns)
        if _hours(table.paper, scale)[table.part] is not None and attacked and not done:
            return scale
    return SCALES[-1]


def _attack(table: Table, cell: Cell) -> str | None:
    """Return the attack of a row; None of a measure, and of clean accuracy."""
    name = table.content["rows"].get(cell.row, {}).get("attack")
    return None if name is None else str(name)


def _is_of(result: Result, scale: str) -> bool:
    return ("--scale paper" in result.command) == (scale == "paper")


@cache
def _hours(paper: str, scale: str) -> dict[str, float | None]:
    return {name: part.hours for name, part in parts(paper, scale).items()}


@cache
def _patterns(paper: str, part: str, scale: str) -> list[str]:
    """Return which attacks a part has at a scale; none if it is not of that scale."""
    if _hours(paper, scale)[part] is None:
        return []
    steps = plan(parse([paper, part, "--scale", scale])).steps
    flags = [words[words.index("--attacks") + 1 :] for words in steps if "--attacks" in words]
    return [word for words in flags for word in words]


def missing_grid(found: Sequence[Table]) -> Grid:
    """Return a table of what is not measured, with the command for it."""
    rows = [
        [each.table, _listed(each.rows), str(each.cells), each.command, each.hours]
        for each in missing(found)
    ]
    return Grid(
        "Not measured through the view of the paper's attacker",
        ["table", "rows", "cells", "command", "hours"],
        rows,
        ["hours: of the complete part, roughly; on two cores, at scale paper on a GPU."],
        is_prose=True,
    )


def _listed(rows: Sequence[str], most: int = 8) -> str:
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(rows[:most]) + more


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the counts.

    Args:
        arguments: Those of the command line; of this process if None.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--missing", action="store_true", help="also what is not measured")
    options = parser.parse_args(arguments)
    found = tables()
    count_grid(found).print()
    if options.missing:
        missing_grid(found).print()


if __name__ == "__main__":
    main()
