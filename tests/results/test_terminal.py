"""A table loses no letter in a narrow terminal: names fold, words wrap, then it is cut in parts."""

import io
import math
import re
from dataclasses import replace
from functools import partial

import pytest
from rich.console import Console

from robust.results.cells import Cell, Grid, Stack
from robust.results.folding import by_attack
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


def evaluated(run, views=("deployed", "adaptive")):
    """A table of six attacks, as `comparison` makes it."""
    names = ["fgsm", "pgd", "square", "boundary", "apgd_targeted", "fab"]
    values = [SHARES if len(views) > 1 else SHARE] * (len(names) + 1)
    shown = Stack(tuple(f"{view}\n" for view in views))
    header = ["run", "view", "clean acc", *names, "robust acc", "verdict"]
    return Grid(
        "Attack success",
        header,
        [[name, shown, SHARE, *values, "not robust"] for name in run],
        [f"{name}: not robust: why." for name in run],
        styles={"not robust": "bold red"},
        fold=partial(by_attack, last=1),
    )


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("runs", [[RUN], [RUN, "standard/20261130-065611-aaaa"]], ids=len)
def test_a_wide_table_has_a_row_for_each_attack(runs, width):
    lines = shown(evaluated(runs), width).splitlines()
    assert max(map(len, lines)) <= width
    wide = "  ".join(lines)
    for name in ("clean acc", "fgsm", "apgd_targeted", "robust acc"):
        assert wide.count(name) == len(runs)
    assert "55.0 (31.3-83.2)" in wide
    verdicts = [line.split() for line in lines if " verdict" in line]
    assert [line[-3:] for line in verdicts] == [["verdict", "not", "robust"]] * len(runs)
    (fgsm, *_) = (line for line in lines if "fgsm" in line)
    assert fgsm.count("55.0 (31.3-83.2)") == 2  # one number below each view
    assert wide.count("deployed") == wide.count("adaptive") == 1


def test_a_table_that_fits_is_not_folded():
    text = shown(evaluated([RUN]), 200)
    assert re.search(r"run +view +clean acc +fgsm", text)
    assert shown(evaluated([RUN]), 20, terminal=False).split() == text.split()


def test_a_view_that_one_run_lacks_is_empty():
    both = evaluated(["a"])
    grid = by_attack(replace(both, rows=[*both.rows, *evaluated(["b"], ["adaptive"]).rows]), last=1)
    assert grid.header == ["run", "attack", "deployed", "adaptive"]
    assert grid.rows[1] == ["b", "clean acc", "", "55.0 (31.3-83.2)"]


def test_verdicts_have_colours_in_a_terminal_alone(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)

    def codes(color_system="standard", **settings):
        file = io.StringIO()
        evaluated(["a"]).print(Console(file=file, color_system=color_system, **settings))
        return file.getvalue().count("\x1b[1;31m")

    assert codes(force_terminal=True, width=200) == 2  # in its cell, and in its note
    assert codes(force_terminal=True, width=80) == 2
    assert codes(force_terminal=True, width=200, no_color=True) == 0
    assert codes("auto", width=200) == 0


def test_what_was_not_attacked_says_so():
    nothing = Cell(math.nan, 0, 1, 0)
    grid = Grid("T", ["run", "view", "pgd"], [["a", VIEWS, Stack((nothing, SHARE))]])
    lines = [line.split() for line in shown(grid, 80).splitlines() if line.split()]
    assert lines[3:] == [
        ["a", "deployed", "not", "attacked"],
        ["adaptive", "55.0"],
        ["31.3-83.2"],
    ]
