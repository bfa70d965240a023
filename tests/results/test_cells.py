"""Cells keep their numbers until a terminal, Markdown or HTML shows them."""

import io
import math

import pytest
from rich.console import Console

from robust.results import tables
from robust.results.cells import Cell, Grid, Shares, Stack, as_html, as_markdown, as_text, stack
from robust.results.metrics import Mean, Rate
from tests.support.factories import evaluation, info

HALF = Cell(0.5, 0.4, 0.65, n=20)


@pytest.mark.parametrize(
    ("content", "text", "markdown", "html"),
    [
        (
            HALF,
            "50.0\n40.0-65.0",
            "50.0<br>40.0-65.0",
            "<span>50.0</span><br><small>40.0&ndash;65.0</small>",
        ),
        (
            Cell(math.nan, 0.0, 1.0, n=0),
            "not attacked",
            "not attacked",
            "<span>not attacked</span>",
        ),
        (Mean(3.0, math.nan, 3.0), "3", "3", "<span>3</span>"),
        (
            Mean(25.0, 25.0, 0.05),
            "25 +-49, median 0.05",
            "25 +-49, median 0.05",
            "<span>25 +-49, median 0.05</span>",
        ),
        (math.nan, "none", "none", "<span>none</span>"),
        (12.34567, "12.35", "12.35", "<span>12.35</span>"),
        (Shares((0.25, 1.0)), "25.0 100.0", "25.0 100.0", "<span>25.0 100.0</span>"),
        (
            Stack((HALF, Shares((0.0,)))),
            "50.0\n40.0-65.0\n0.0",
            "50.0<br>40.0-65.0<br>0.0",
            "<span>50.0</span><br><small>40.0&ndash;65.0</small><br><span>0.0</span>",
        ),
        (
            "a|<b>\n",
            "a|<b>\n",
            "a\\|&lt;b><br>",
            "<span>a|&lt;b&gt;</span><br><small>&nbsp;</small>",
        ),
        # A name is no interval, even if it looks like one.
        ("1.0-2.0", "1.0-2.0", "1.0-2.0", "<span>1.0-2.0</span>"),
    ],
)
def test_formats_of_a_cell(content, text, markdown, html):
    assert (as_text(content), as_markdown(content), as_html(content)) == (text, markdown, html)


def test_a_stack_holds_cells_of_rates():
    assert stack(Rate(1, 2), 3.0) == Stack((Cell.from_rate(Rate(1, 2)), 3.0))


@pytest.mark.parametrize("hits", [0, 20])
def test_a_rate_is_within_its_interval(hits):
    cell = Cell.from_rate(Rate(hits, 20))
    assert cell.low <= cell.value <= cell.high


def test_tables_hold_numbers():
    counts = {("deployed", "fgsm"): 40, ("adaptive", "fgsm"): 150}
    grid = tables.comparison({"a": evaluation({"fgsm": info()}, counts)})
    success = dict(zip(grid.header, grid.rows[0], strict=True))["fgsm"]
    assert success == stack(Rate(40, 200), Rate(150, 200))


def test_a_grid_shows_the_same_numbers_in_each_format():
    grid = Grid("T", ["run", "robust acc"], [["a", HALF]], ["n = 20."])
    text = io.StringIO()
    grid.print(Console(file=text, markup=False, emoji=False))
    for shown, interval in (
        (text.getvalue(), "40.0-65.0"),
        (grid.markdown(), "50.0<br>40.0-65.0"),
        (grid.html(), "<small>40.0&ndash;65.0</small>"),
    ):
        assert interval in shown
        assert "n = 20." in shown
