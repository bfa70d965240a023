"""The nine signs of masking are a table where one is raised, and else a sentence a run."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from robust.report.card.evidence import _signs
from robust.results.cells import Grid
from robust.results.evidence.nine import nine
from robust.results.evidence.recorded import Evidence, Trials
from robust.results.rates import Rate
from robust.results.records import Evaluation
from robust.results.tables import comparison
from tests.results.test_evidence import BIM, CALM, FGSM, attacked, scored
from tests.support.factories import evaluation

FEW = {key: Rate(rate.hits * 8 // 32, 8) for key, rate in CALM.items()}
LINF = "Linf 0.1"


def masked(rates=CALM):
    found = evaluation({"bim": BIM}, {("deployed", "bim"): 20, ("adaptive", "bim"): 180})
    known = {LINF: scored(60, **rates)}
    found.evidence = Evidence("quick", 200, ("deployed", "adaptive"), 1.5, known, "code")
    return found


def calm(rates=CALM):
    return attacked(scored(60, **rates))


def shown(grid, width):
    file = io.StringIO()
    grid.print(Console(file=file, force_terminal=True, width=width, color_system=None))
    return file.getvalue()


def about_signs(grid):
    return [note for note in grid.notes if "nine signs" in note]


def test_where_none_is_raised_a_sentence_says_what_was_looked_for():
    grid = comparison(
        {"run/a": calm(), "run/b": calm({k: v for k, v in CALM.items() if k != "noise"})}
    )
    assert grid.below == []
    assert about_signs(grid) == [
        "run/a: all nine signs of masking at Linf 0.1 were looked for, in the records and on 32 "
        "images; none is raised.",
        "run/b: 8 of nine signs of masking at Linf 0.1 were looked for, in the records and on 32 "
        "images; none is raised. Not measured: noise finds what attacks missed.",
    ]


def test_a_sentence_says_which_signs_so_few_images_hardly_raise():
    (note,) = about_signs(comparison({"run/a": calm(FEW)}))
    assert "on 8 images; none is raised. So few can hardly raise: one step beats many, " in note
    assert note.endswith("no gradient beats gradients, success does not grow with eps.")


def test_where_one_is_raised_all_are_a_table_of_signs_by_runs():
    grid = comparison({"run/a": masked(FEW), "run/b": calm(), "old/c": attacked()})
    assert about_signs(grid) == []
    (table,) = grid.below
    assert (table.title, table.header) == (
        f"Signs of masking at {LINF}",
        ["sign", "run/a", "run/b"],
    )
    cells = {row[0]: row[1:] for row in table.rows}
    assert len(cells) == 9
    assert cells["views differ"] == [
        "raised: robust accuracy 90.0 % deployed, 10.0 % adaptive",
        "no: robust deployed 100/200, adaptive 100/200",
    ]
    assert cells["one step beats many"] == [
        "no: robust 5/8 against 4/8",
        "no: robust 20/32 against 16/32",
    ]
    assert table.notes[0].startswith("run/a: looked for in the records and on 8 images. So few ")
    assert table.notes[1:] == ["run/b: looked for in the records and on 32 images."]


def test_what_was_not_tried_is_not_measured():
    found = masked({})
    (table,) = comparison({"run/a": found}).below
    assert [row[1] for row in table.rows].count("not measured") == 7
    assert table.notes == ["run/a: looked for in the records."]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_a_terminal(width):
    grid = comparison({"squeezed/first": masked(), "standard/first": calm()})
    text = shown(grid.below[0], width)
    assert max(map(len, text.splitlines())) <= width
    assert " ".join(text.split()).count("raised:") == 1
    if width == 80:  # words begin at the left, in columns of words
        lines = [line for line in text.splitlines() if line.startswith("  ")]
        (start,) = {line.index("no:") for line in lines if "an unbounded" in line}
        assert all(line[start - 1] == " " != line[start] for line in lines if "no:" in line)


def test_tables_below_are_in_every_form():
    grid = Grid(
        "Above", ["a"], [["1"]], below=[Grid("Below", ["a", "b"], [["2", "c"]], is_prose=True)]
    )
    assert shown(grid, 80).index("Above") < shown(grid, 80).index("Below")
    assert "**Below**\n\n| a | b |\n| --- | --- |\n| 2 | c |" in grid.markdown()
    assert grid.html().index("</table>") < grid.html().index("<caption>Below</caption>")


def test_each_threat_model_has_its_own():
    attacks = {"near": BIM, "far": replace(BIM, eps=0.3)}
    hits = {("deployed", "near"): 20, ("adaptive", "near"): 180}
    hits |= {(view, "far"): 100 for view in ("deployed", "adaptive")}
    found = evaluation(attacks, hits)
    known = {LINF: scored(60, **CALM), "Linf 0.3": scored(60, **CALM)}
    found.evidence = Evidence("quick", 200, ("deployed", "adaptive"), 1.5, known, "code")
    grid = comparison({"run/a": found})
    assert [table.title for table in grid.below] == [f"Signs of masking at {LINF}"]
    (note,) = about_signs(grid)
    assert "at Linf 0.3" in note


@pytest.mark.parametrize(("n", "is_rare"), [(1, True), (8, True), (10, True), (12, False)])
def test_rates_of_few_images_hardly_differ(n, is_rare):
    rates = {"one_step": Rate(n, n), "iterated": Rate(n, n)}
    sign = nine(attacked(), Trials(rates=rates))[0]
    assert (sign.raised, sign.rare) == (False, is_rare)


def test_what_all_records_show_is_no_matter_of_few_images():
    attacks = {"fgsm": FGSM, "bim": BIM}
    hits = {(view, name): 100 for view in ("deployed", "adaptive") for name in attacks}
    signs = nine(evaluation(attacks, hits), Trials(rates=FEW))
    assert [sign.rare for sign in signs[:4]] == [False, True, False, True]


def test_a_card_says_it_too():
    figures = {each["sign"]: each["figures"] for each in _signs(calm(FEW), scored(60, **FEW), "r")}
    assert figures["success does not grow with eps"].endswith("; so few images can hardly raise it")
    assert figures["noise finds what attacks missed"] == "0/8 of what they left"


def test_a_sign_that_is_raised_is_not_one_that_few_images_hardly_raise():
    rates = {"one_step": Rate(0, 8), "iterated": Rate(8, 8)}
    found = Evaluation(attacked().header, attacked().rows)
    sign = nine(found, Trials(rates=rates))[0]
    assert (sign.raised, sign.rare) == (True, False)
