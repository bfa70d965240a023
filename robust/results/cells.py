"""Tables and their cells, which keep numbers with their intervals until they are shown.

Three formats are at the end: text for a terminal, Markdown, and HTML.
"""

import html
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from robust.io.columns import blocks, fitted, taken
from robust.io.names import printable
from robust.results.metrics import Mean, Rate

_PIPE_WIDTH = 400
"""Columns of text where no terminal sets a width."""


@dataclass(frozen=True)
class Cell:
    """A cell holds a share of images with its 95 % interval.

    A format of a number, such as ``.1%``, formats the share and both bounds.

    Examples:
        >>> cell = robust.Cell(0.55, 0.48, 0.62, n=200)
        >>> print(cell, f"and {cell:.0%}")
        55.0% (48.0% to 62.0%, n=200) and 55% (48% to 62%, n=200)

    Args:
        value: The share, 0 to 1; NaN without images.
        low: Lower bound of the interval.
        high: Upper bound of the interval.
        n: Number of images.
    """

    value: float
    low: float
    high: float
    n: int

    @staticmethod
    def from_rate(rate: Rate) -> "Cell":
        """Return the cell of a rate."""
        low, high = rate.interval
        # Rounding may put a bound of a rate of 0 or 1 on its wrong side.
        return Cell(rate.value, min(low, rate.value), max(high, rate.value), rate.n)

    def __str__(self) -> str:
        return f"{self:.1%}"

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        low, high = (format(bound, spec) for bound in (self.low, self.high))
        return f"{format(self.value, spec)} ({low} to {high}, n={self.n})"

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class Shares:
    """Shares without intervals stand beside each other on one line.

    Args:
        values: The shares, each 0 to 1.
    """

    values: tuple[float, ...]


Value = str | float | Cell | Mean | Shares
"""What one or two lines of a cell show."""


@dataclass(frozen=True)
class Stack:
    """A stack is a cell with several values, one below the other.

    Args:
        values: From the top.
    """

    values: tuple[Value, ...]


Content = Value | Stack
"""What a cell of a table holds."""


def stack(*values: Rate | Mean | float) -> Stack:
    """Return a stack of numbers, in which each rate is a cell."""
    return Stack(
        tuple(Cell.from_rate(value) if isinstance(value, Rate) else value for value in values)
    )


@dataclass(frozen=True)
class Grid:
    """A grid is a table of cells, shown in a terminal, as Markdown or as HTML.

    Args:
        title: What the cells are.
        header: One name a column.
        rows: One cell a column.
        notes: Sentences below the table.
        below: Tables that belong to it, below its notes.
        is_prose: Whether its cells are words, which begin at the left.
        group: Rows that belong together, with a line below; none if 0.
        styles: Of words that have a colour in a terminal, in cells and after the name in notes.
        fold: Returns the table that a terminal shows where this one is too wide.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Content]]
    notes: Sequence[str] = field(default=())
    below: Sequence["Grid"] = field(default=())
    is_prose: bool = False
    group: int = 0
    styles: Mapping[str, str] = field(default_factory=dict)
    fold: "Callable[[Grid], Grid] | None" = None

    def print(self, console: Console | None = None) -> None:
        """Print the table in a terminal; in a file or pipe it is as wide as it needs to be.

        A terminal that is too narrow gets names in several lines, then parts of the table.

        Args:
            console: Where to; standard output if None.
        """
        # A name is no markup: it prints as it is.
        console = Console(markup=False, emoji=False) if console is None else console
        if console.is_terminal or console.is_jupyter:
            self._print(console, console.width)
            return
        with console.capture() as captured:  # in what the encoding of the output has
            self._print(console, None)
        console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))

    def _print(self, console: Console, room: int | None) -> None:
        shown = self if self.fold is None or self._fits(room) else self.fold(self)
        for table in shown._tables(room):
            # No number is cut, even if the table is wider than the terminal.
            console.width = max(room or _PIPE_WIDTH, table.width or 0)
            console.print(table)
        console.width = room or _PIPE_WIDTH
        for note in shown.notes:
            console.print(self._styled_note(note), highlight=False, soft_wrap=room is None)
        for grid in self.below:
            grid._print(console, room)

    def _fits(self, room: int | None) -> bool:
        """Return whether it needs neither parts nor wrapped cells."""
        rows = [[as_text(cell) for cell in row] for row in (self.header, *self.rows)]
        return room is None or taken(fitted(list(zip(*rows, strict=True)), None)) <= room

    def _styled_note(self, note: str) -> Text:
        text = Text(printable(note))
        for word, style in self.styles.items():
            start = text.plain.find(f": {word}") + 2
            if start > 1:
                text.stylize(style, start, start + len(word))
                break
        return text

    def _tables(self, room: int | None) -> Iterator[Table]:
        """Yield the table, or as many parts as it needs in so many columns; in any if None."""
        columns = self._columns(room)
        widths = fitted(columns, room)
        is_spaced = any("\n" in text for texts in columns for text in texts[1:])
        for number, part in enumerate(blocks(widths, self._keys(widths, room), room)):
            fitting = fitted([columns[i] for i in part], room)
            table = Table(title_justify="left", box=box.SIMPLE_HEAD)
            table.title = None if number else printable(self.title)
            table.width = taken(fitting)
            for i, width in zip(part, fitting, strict=True):
                side: Literal["left", "right"] = "right" if i and not self.is_prose else "left"
                table.add_column(columns[i][0], width=width, justify=side, overflow="fold")
            for count, row in enumerate(list(zip(*columns, strict=True))[1:], 1):
                table.add_row(*(Text(row[i], self.styles.get(row[i], "")) for i in part))
                if is_spaced or (self.group > 1 and not count % self.group):
                    table.add_section()
            yield table

    def _columns(self, room: int | None) -> list[list[str]]:
        """Return the texts of each column below its header; where it is narrow, in more lines."""
        rows = [[as_text(cell) for cell in row] for row in (self.header, *self.rows)]
        columns = [list(texts) for texts in zip(*rows, strict=True)]
        if room is None or taken(fitted(columns, None)) <= room:
            return columns
        # Names of runs are NAME/ID.
        return [
            [text.replace("/", "/\n") if not i or not j else text for j, text in enumerate(texts)]
            for i, texts in enumerate(columns)
        ]

    def _keys(self, widths: Sequence[int], room: int | None) -> int:
        """Return how many columns on the left tell rows apart, in each part of the table."""
        texts = list(
            takewhile(lambda column: all(map(_is_text, column)), zip(*self.rows, strict=True))
        )
        too_wide = room is not None and taken(widths[: len(texts)]) > room // 2
        return 1 if too_wide else max(1, len(texts))

    def markdown(self) -> str:
        """Return the table in Markdown."""
        lines = [f"**{as_markdown(self.title)}**", "", _markdown_row(self.header)]
        side = "---" if self.is_prose else "---:"
        lines += [_markdown_row(["---", *[side] * (len(self.header) - 1)])]
        lines += [_markdown_row(row) for row in self.rows]
        lines += [""] + [f"{as_markdown(note)}  " for note in self.notes]
        return "\n".join(["\n".join(lines) + "\n", *(grid.markdown() for grid in self.below)])

    def html(self) -> str:
        """Return the table in HTML, as a notebook shows it."""
        return "\n".join(_html_lines(self))


def as_text(content: Content) -> str:
    """Return a cell as a terminal shows it; each interval is a line of its own."""
    return "\n".join(line.text for line in _lines(content))


def as_markdown(content: Content) -> str:
    """Return a cell in Markdown, in which no letter of it is markup."""
    escaped = (re.sub(r"[|*`\\]", r"\\\g<0>", line.text) for line in _lines(content))
    return "<br>".join(text.replace("<", "&lt;") for text in escaped)


def as_html(content: Content) -> str:
    """Return a cell in HTML, with intervals in small letters."""
    return "<br>".join(map(_html_line, _lines(content)))


def _is_text(content: Content) -> bool:
    values = content.values if isinstance(content, Stack) else (content,)
    return all(isinstance(value, str) for value in values)


class _Line(NamedTuple):
    text: str
    small: bool = False
    """Whether it only adds to the line above, as an interval does."""


def _lines(content: Content) -> list[_Line]:
    match content:
        case Stack(values):
            return [line for value in values for line in _stacked(value)]
        case Cell():
            return _cell_lines(content)
        case Mean():
            return [_Line(_mean(content))]
        case Shares(values):
            return [_Line(" ".join(f"{100 * value:.1f}" for value in values))]
        case str():
            return [_Line(printable(line), small=not line) for line in content.split("\n")]
    return [_Line(_number(content))]


def _stacked(value: Value) -> list[_Line]:
    """Return the lines of a value in a stack, where each cell takes two."""
    lines = _lines(value)
    is_short = isinstance(value, Cell) and len(lines) == 1
    return [*lines, *[_Line("", small=True)] * is_short]


def _cell_lines(cell: Cell) -> list[_Line]:
    if not cell.n:
        return [_Line("not attacked")]
    interval = f"{100 * cell.low:.1f}-{100 * cell.high:.1f}"
    return [_Line(f"{100 * cell.value:.1f}"), _Line(interval, small=True)]


def _mean(mean: Mean) -> str:
    """A mean, half the width of its interval, and the median; a single value is all of them."""
    if math.isnan(mean.error):
        return _number(mean.value)
    low, high = mean.interval
    return f"{_number(mean.value)} +-{(high - low) / 2:.2g}, median {mean.median:.2g}"


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4g}"


def _markdown_row(cells: Sequence[Content]) -> str:
    return "| " + " | ".join(map(as_markdown, cells)) + " |"


def _html_line(line: _Line) -> str:
    if line.small:  # an empty line keeps its height
        return f"<small>{line.text.replace('-', '&ndash;') or '&nbsp;'}</small>"
    return f"<span>{html.escape(line.text)}</span>"


def _html_lines(grid: Grid) -> Iterator[str]:
    yield f"<table><caption>{html.escape(grid.title)}</caption>"
    yield f"<thead><tr>{_html_cells('th', grid.header)}</tr></thead><tbody>"
    for row in grid.rows:
        yield f"<tr>{_html_cells('td', row)}</tr>"
    yield "</tbody></table>"
    for note in grid.notes:
        yield f"<p>{html.escape(note)}</p>"
    for below in grid.below:
        yield from _html_lines(below)


def _html_cells(tag: str, cells: Sequence[Content]) -> str:
    return "".join(f"<{tag}>{as_html(cell)}</{tag}>" for cell in cells)
