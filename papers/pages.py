"""Write the tables of pages from ``results.csv`` of the papers.

``python papers/pages.py --write`` replaces what stands between ``<!-- results: TABLE -->``, or
``<!-- counts -->`` or ``<!-- answers -->``, and ``<!-- end -->``. Without ``--write`` it says which
pages are not up to date, and exits with 1 if any is not.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from count import HEADER, PAPERS, Cell, Counts, Table, counts, missing, tables

from robust.errors import ConfigError, nearest
from robust.results.cells import as_markdown
from robust.results.published.cells import CLEAN_ROW, views_of
from robust.results.published.result_file import Result

_BLOCK = re.compile(r"<!-- (results: \w+|counts|answers) -->\n.*?<!-- end -->", re.DOTALL)
ROOT = PAPERS.parent
_MARK = re.compile(r"<!-- ([^>]*) -->")
_OF_MEASURES = "robustness"


class Answer(NamedTuple):
    """A cell that stands for a paper in the table of all papers."""

    defense: str
    attack: str
    table: str
    row: str
    column: str
    undefended: str
    """The column of the network without the defense."""
    verdict: str


ANSWERS = [
    Answer(
        "tanh outputs at temperature 20",
        "BIM, Linf 0.2",
        "tuna2022_table2",
        "BIM",
        "tanh",
        "normal",
        "does not stand: the gradient is hidden, the network is as before",
    ),
    Answer(
        "bounded ReLU and Gaussian augmentation",
        "from the ResNet: Random+FGSM 0.3; adaptive: PGD, white box",
        "zantedeschi2017_table4",
        "Random+FGSM eps = 0.3",
        "brelu_gda",
        "cnn",
        "stands in part: better than without, far below what is printed",
    ),
    Answer(
        "codewords, squared error",
        "MIM, Linf 0.2",
        "saito2018_table3_mnist",
        "MIM 0.2",
        "codewords",
        "cross_entropy",
        "does not stand: the attack climbed something else",
    ),
    Answer(
        "WNLL, reduced (ResNet-20, 3 epochs)",
        "projected IFGSM, Linf 0.02",
        "wang2018_table2",
        "IFGSM 0.02",
        "wnll",
        "softmax",
        "does not stand on a reduced network; ResNet-56 is not run",
    ),
    Answer(
        "binarized input and output (IBOI)",
        "boundary attack",
        "paranjape2020_table1",
        "BA",
        "IBOI",
        "INOI",
        "does not stand for an attacker who sees the binarizer",
    ),
]
"""The cells of that table, and what they say."""


def written(text: str, found: Sequence[Table], page: Path) -> str:
    """Return a page with its blocks as they are to be.

    Args:
        text: The page.
        found: All tables.
        page: Its path, for messages.

    Raises:
        ConfigError: If a mark names no table, or has no end.
    """
    made = _BLOCK.sub(lambda block: _block(block[1], found, page), text)
    rest = _MARK.findall(_BLOCK.sub("", text))
    if rest:
        raise ConfigError(
            f"Expected {page} to have marks of tables, each with an end, but got {rest[0]!r:.60}. "
            "Write <!-- results: TABLE -->, <!-- counts --> or <!-- answers -->, then <!-- end -->."
        )
    return made


def _block(mark: str, found: Sequence[Table], page: Path) -> str:
    if mark == "counts":
        lines = _counts(found)
    elif mark == "answers":
        lines = _answers(found)
    else:
        lines = _results(mark.removeprefix("results: "), found, page)
    return "\n".join([f"<!-- {mark} -->", *lines, "<!-- end -->"])


def _results(name: str, found: Sequence[Table], page: Path) -> list[str]:
    known = {table.name: table for table in found}
    if name not in known:
        raise ConfigError(
            f"Expected {page} to name a table of a paper, but got {name!r}.{nearest(name, known)}"
        )
    table = known[name]
    cells = [cell for cell in (*table.clean, *table.cells) if cell.ours or cell.beside]
    parts = [_cells(table, cells), _origins(cells)] if cells else []
    parts = [part for part in (*parts, _not_run(table)) if part]
    return [line for part in parts for line in ("", *part)][1:]


def _cells(table: Table, cells: Sequence[Cell]) -> list[str]:
    _, beside = views_of(table.content)
    other = "adaptive" if beside == "adaptive" else f"view {beside}"
    if table.content["metric"] == _OF_MEASURES:
        kinds = ("measure", "ours, as their code computes it", "ours, correct search, adaptive")
    else:
        kinds = ("attack", "ours, paper's attack", f"ours, {other}")
    has_beside = any(cell.beside for cell in cells)
    has_tests = any(_unit_test(cell) for cell in cells)
    header = [kinds[0], "network", "paper", kinds[1], *([kinds[2]] if has_beside else [])]
    header += [*(["unit test"] if has_tests else []), "n", "agreement"]
    rows = [
        [
            cell.row,
            cell.column,
            _published(cell),
            _number(cell.ours),
            *([_number(cell.beside)] if has_beside else []),
            *([_unit_test(cell)] if has_tests else []),
            _joined(str(each.n) for each in _ours(cell)),
            cell.agreement,
        ]
        for cell in cells
    ]
    return _table(header, rows, texts=2)


def _published(cell: Cell) -> str:
    if cell.published is None:
        return "not given" if cell.row == CLEAN_ROW else "lost"
    return f"{cell.published:g}"


def _ours(cell: Cell) -> list[Result]:
    return [each for each in (cell.ours, cell.beside) if each is not None]


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _unit_test(cell: Cell) -> str:
    return ", ".join(each.unit_test for each in _ours(cell) if each.unit_test)


def _number(result: Result | None) -> str:
    """Return a number with its interval in a second line."""
    if result is None:
        return ""
    if result.low is None or result.high is None:
        return f"{result.value:.4g}"
    form = ".3g" if result.attack == "sensitivity" else ".1f"
    value, low, high = (format(x, form) for x in (result.value, result.low, result.high))
    return f"{value}\n{low}-{high}"


def _origins(cells: Sequence[Cell]) -> list[str]:
    """Return a table of where the numbers come from."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in (each for cell in cells for each in _ours(cell)):
        seed = "" if result.seed is None else str(result.seed)
        key = (result.precision, seed, result.differs, result.commit, result.command)
        groups.setdefault(key, []).append(result)
    header = ["networks", "trained in", "seed", "differs in", "commit", "hours", "command"]
    rows = [
        [_joined(r.column for r in of), *key[:-1], _hours(of), f"`{key[-1]}`"]
        for key, of in groups.items()
    ]
    return _table(header, rows, texts=len(header))


def _hours(results: Sequence[Result]) -> str:
    """Return the hours of all attacks, of which several numbers may need one."""
    each = {(r.column, r.view, r.attack, r.n): r.hours for r in results if r.hours is not None}
    return f"{sum(each.values()):.2f}" if each else ""


def _not_run(table: Table) -> list[str]:
    """Return a table of what is not measured, with the command that measures it and its hours."""
    rows = [
        [", ".join(each.rows), str(each.cells), each.hours, f"`{each.command}`"]
        for each in missing([table])
    ]
    return _table(["not run", "cells", "hours, about", "command"], rows, texts=4) if rows else []


def _counts(found: Sequence[Table]) -> list[str]:
    """Return the table of counts by paper."""
    papers: dict[str, list[Cell]] = {}
    for table in found:
        papers.setdefault(_link(table), []).extend(table.cells)
    rows = [[link, *_shown(counts(cells))] for link, cells in papers.items()]
    every = [cell for cells in papers.values() for cell in cells]
    header = ["paper", *HEADER]
    return _table(header, [*rows, ["all", *_shown(counts(every))]], texts=1)


def _shown(found: Counts) -> list[str]:
    return [str(count) for count in found]


def _answers(found: Sequence[Table]) -> list[str]:
    """Return the table of one cell of each paper."""
    header = ["paper", "defense", "does the claim stand", "attack", "paper's number"]
    header += ["ours, paper's attack", "ours, adaptive", "undefended, adaptive", "n"]
    by_name = {table.name: table for table in found}
    rows = []
    for answer in ANSWERS:
        table = by_name[answer.table]
        cells = {(cell.row, cell.column): cell for cell in table.cells}
        cell = cells[answer.row, answer.column]
        plain = cells[answer.row, answer.undefended]
        numbers = [cell.published, *_values(cell), _values(plain)[1]]
        rows.append(
            [
                _link(table),
                answer.defense,
                answer.verdict,
                answer.attack,
                *(_correct_share(table, number) for number in numbers),
                _joined(str(each.n) for each in _ours(cell)),
            ]
        )
    return _table(header, rows, texts=4)


def _link(table: Table) -> str:
    """Return a link from ``docs/`` to the page of a table's paper, with the paper's name."""
    name = str(table.content["title"]).partition(", Table")[0]
    return f"[{name}](../papers/{table.paper}/README.md)"


def _values(cell: Cell) -> tuple[float | None, float | None]:
    ours, beside = (None if each is None else each.value for each in (cell.ours, cell.beside))
    return ours, beside


def _correct_share(table: Table, number: float | None) -> str:
    """Return a number as the share of images that stay correct, whichever the table has."""
    if number is None:
        return "not run"
    is_success = str(table.content["metric"]).startswith("attack success")
    return f"{100 - number if is_success else number:.1f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> list[str]:
    """Return a table in Markdown, of which so many columns on the left are texts."""
    sides = ["---" if i < texts else "---:" for i in range(len(header))]
    lines = [header, sides, *([_escaped(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _escaped(cell: str) -> str:
    return cell if cell.startswith(("`", "[")) else as_markdown(cell)


def pages(root: Path) -> list[Path]:
    """Return the pages that have such tables.

    Args:
        root: Folder of the clone.
    """
    every = [*sorted(root.glob("papers/*/README.md")), root / "docs/results.md"]
    return [page for page in every if page.is_file()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or say which are not up to date.

    Args:
        arguments: Those of the command line; of this process if None.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="replace the tables")
    options = parser.parse_args(arguments)
    found, code = tables(), 0
    for page in pages(ROOT):
        text = page.read_text(encoding="utf-8")
        new = written(text, found, page)
        if new == text:
            continue
        if options.write:
            page.write_text(new, encoding="utf-8")
            print(f"Written: {page.relative_to(ROOT)}")
        else:
            code = 1
            print(
                f"{page.relative_to(ROOT)} is not up to date with results.csv. "
                "Run python papers/pages.py --write.",
                file=sys.stderr,
            )
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConfigError as error:
        sys.exit(f"error: {error}")
