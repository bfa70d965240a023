"""A table loses no letter in a narrow terminal: names fold, words wrap, then it is cut in parts."""

import io
import re

import pytest
from rich.console import Console

from robust.results.cells import Cell, Grid, Stack
from robust.results.metrics import Mean

RUN = "squeezed/20261130-065611-f8ed"
SHARE = Cell(0.5504, 0.3133, 0.8325, 20)
SHARES = Stack((SHARE, SHARE))
VIEWS = Stack(("deployed\n", "adaptive\n"))
ATTACKED = Grid(
    "Attack success",
    ["run", "view", "clean acc", "fgsm", "pgd", "square", "robust acc", "verdict"],
    [[RUN, VIEWS, SHARE, *[SHARES] * 4, "suspect"], ["b", VIEWS, SHARE, *[SHARES] * 4, "masked"]],
    ["n = 20 test images."],
)
CERTIFIED = Grid("Certified", ["run", *"abcdefgh"], [[RUN, *[SHARE] * 8]])
MEASURED = Grid("Measured", ["run", "sensitivity"], [[RUN, Mean(0.0711, 0.0403, 0.033)]])
NORMS = Grid("Norms", ["layer", "kind", RUN, f"{RUN}x"], [["layers.0", "conv 3x3", 3.999, 2.5]])
GRIDS = [ATTACKED, CERTIFIED, MEASURED, NORMS]


def shown(grid: Grid, width: int, *, terminal: bool = True) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, color_system=None)
    grid.print(console)
    return file.getvalue()


def words(text: str) -> list[str]:
    return re.findall(r"[\w.+-]+", text)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: grid.title)
@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120])
def test_nothing_is_cut(grid, width):
    text = shown(grid, width)
    numbers = {word for word in words(shown(grid, 0, terminal=False)) if re.match(r"\d+\.", word)}
    assert numbers <= set(words(text))
    assert "\u2026" not in text
    if width >= 60:
        assert max(map(len, text.splitlines())) <= width


def test_names_are_told_apart():
    text = shown(ATTACKED, 100)
    assert text.count("fgsm") == 1
    assert re.search(r"squeezed/ +deployed .*\n +20261130-\w+ .*\n +\w+-f8ed +adaptive", text)


def test_each_part_names_its_rows():
    text = shown(ATTACKED, 80)
    assert text.count("adaptive") == 4
    assert text.count("Attack success") == 1


def test_a_part_takes_the_room_that_it_has():
    grid = Grid("T", ["run", *"abcdef", "sensitivity"], [[RUN, *[SHARE] * 6, MEASURED.rows[0][1]]])
    assert "0.0711 +-0.079, median 0.033" in shown(grid, 80)


def test_a_terminal_that_is_wide_enough_shows_what_a_pipe_gets():
    assert shown(ATTACKED, 200).split() == shown(ATTACKED, 10, terminal=False).split()


def test_rows_of_one_line_are_close():
    many = Grid("T", NORMS.header, [*NORMS.rows, *NORMS.rows])
    assert re.search(r"layers\.0 .*\n +layers\.0 ", shown(many, 120))
    assert re.search(r" +\n +b +deployed", shown(ATTACKED, 120))
