"""A table of runs by attacks that is too wide for a terminal gets a row for each attack."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from robust.results.cells import Cell, Content, Grid, Stack, Value, as_text

SECOND_LINES = "Second lines"
"""Where a note says that intervals are."""
_KEYS = 2
"""A row of the wide table begins with the run and its views."""


def by_attack(grid: Grid, last: int) -> Grid:
    """Return the cells of a table of runs with a column for each view, and intervals in one line.

    Args:
        grid: Its columns are run, views, and numbers for each view.
        last: How many of its columns on the right are words on the run, and stand in the last view.
    """
    views = list(dict.fromkeys(view for row in grid.rows for view in _views(row)))
    numbers = len(grid.header) - last
    is_one = len(grid.rows) == 1
    rows = [
        [
            *([] if is_one else [str(row[0])]),
            name,
            *(_cells if column < numbers else _words)(row, column, views),
        ]
        for column, name in enumerate(grid.header[_KEYS:], _KEYS)
        for row in grid.rows
    ]
    title = f"{grid.title}: {grid.rows[0][0]}" if is_one else grid.title
    header = [*([] if is_one else [grid.header[0]]), "attack", *views]
    notes = [note.replace(SECOND_LINES, "In brackets") for note in grid.notes]
    return replace(grid, title=title, header=header, rows=rows, notes=notes, group=len(grid.rows))


def _views(row: Sequence[Content]) -> list[str]:
    return [text for text in as_text(row[1]).split("\n") if text]


def _cells(row: Sequence[Content], column: int, views: Sequence[str]) -> Iterator[str]:
    """Yield what a run has through each view; what is of no view holds for all of them."""
    content, own = row[column], _views(row)
    values = content.values if isinstance(content, Stack) else (content,)
    if len(values) == 1:
        values = values * len(own)
    known = dict(zip(own, values, strict=True))
    for view in views:
        yield _in_a_line(known[view]) if view in known else ""


def _words(row: Sequence[Content], column: int, views: Sequence[str]) -> Iterator[str]:
    yield from [""] * (len(views) - 1)
    yield as_text(row[column])


def _in_a_line(value: Value) -> str:
    if isinstance(value, Cell) and value.n:
        return f"{100 * value.value:.1f} ({100 * value.low:.1f}-{100 * value.high:.1f})"
    return as_text(value).strip()
