"""Tables of papers: which metric, through which view, beside which number."""

import pytest

from robust.errors import ConfigError
from robust.results.cells import as_text
from robust.results.published.table import paper_table
from robust.results.records import Evaluation
from tests.support.factories import header, info, row

OURS, ADAPTIVE = "ours, paper's attack", "ours, adaptive"
HEADER = ["attack", "model", "paper", OURS, "difference", "agreement", ADAPTIVE]


def table(**changed):
    return {
        "title": "Table 1",
        "metric": "attack success",
        "columns": {"net": {}},
        "clean_acc": {"net": 90},
        "rows": {"FGSM": {"attack": "fgsm", "published": {"net": 40}}},
        **changed,
    }


def measured(views=("deployed", "published", "adaptive")):
    """Of ten images eight are correct; 2, 4 and 6 of these are misclassified through the views."""
    rows = []
    for count, view in zip((2, 4, 6), views, strict=False):
        for i in range(10):
            clean = 0 if i < 8 else 1
            rows.append(row(i, view=view, clean=clean, adv=1 if i < count else clean))
    return {"net": Evaluation(header(fgsm=info()), rows)}


def first_line(cell):
    return as_text(cell).split("\n")[0]


def cells(content, columns):
    grid = paper_table(content, columns)
    last = dict(zip(grid.header, grid.rows[-1], strict=True))
    return {key: first_line(value) for key, value in last.items()}


@pytest.mark.parametrize(
    ("metric", "deployed", "difference", "adaptive"),
    [
        ("attack success", "25.0", "-15.00", "75.0"),
        ("attack success over all images", "20.0", "-20.00", "60.0"),
        ("robust accuracy", "60.0", "+20.00", "20.0"),
    ],
)
def test_metrics_count_different_images(metric, deployed, difference, adaptive):
    found = cells(table(metric=metric), measured())
    assert found == {
        "attack": "FGSM",
        "model": "net",
        "paper": "40",
        OURS: deployed,
        "difference": difference,
        "agreement": "agrees",
        ADAPTIVE: adaptive,
    }


def test_the_papers_view_is_compared():
    grid = paper_table(table(view="published"), measured())
    assert grid.header == HEADER
    assert [first_line(cell) for cell in grid.rows[-1][2:]] == [
        "40",
        "50.0",
        "+10.00",
        "agrees",
        "75.0",
    ]
    assert [first_line(cell) for cell in grid.rows[0][2:]] == ["90", "80.0", "-10.00", "agrees", ""]


def test_a_view_that_was_not_attacked_is_not_run():
    found = cells(table(view="transfer"), measured())
    assert (found[OURS], found["difference"], found[ADAPTIVE]) == ("not run", "", "75.0")
    found = cells(table(), measured(views=("deployed",)))
    assert (found[OURS], found[ADAPTIVE]) == ("25.0", "")


def test_a_lost_number_has_no_difference():
    lost = {"FGSM": {"attack": "fgsm", "published": {"net": None}}}
    found = cells(table(rows=lost), measured())
    assert (found["paper"], found[OURS], found["difference"]) == ("lost", "25.0", "")


@pytest.mark.parametrize(
    ("published", "word"), [(49.1, "agrees"), (94.4, "differs"), (48.9, "differs"), (None, "")]
)
def test_a_number_agrees_within_the_interval_of_ours(published, word):
    """8 of 10 have an interval of 49.0 to 94.3."""
    grid = paper_table(table(clean_acc={"net": published}), measured())
    assert as_text(grid.rows[0][3]) == "80.0\n49.0-94.3"
    assert grid.rows[0][5] == word
    assert grid.styles == {"agrees": "bold green", "differs": "bold yellow"}
    assert any(note.startswith("agrees: ") for note in grid.notes)


def test_an_unknown_metric_is_refused():
    with pytest.raises(ConfigError, match=r"Expected the `metric` of Table 1 to be one of attack "):
        paper_table(table(metric="accuracy"), {})


def of(view, misclassified, attack="fgsm", n=10):
    rows = [row(i, view=view, attack=attack, adv=1 if i in misclassified else 0) for i in range(n)]
    return Evaluation(header(**{attack: info()}), rows)


def test_rows_name_what_their_attack_is_crafted_on():
    content = table(
        metric="robust accuracy",
        columns={"a": {}, "b": {}},
        clean_acc={"a": None, "b": 99},
        rows={
            "from a": {"attack": "fgsm", "crafted_on": "a", "published": {"a": 50, "b": 60}},
            "from b": {"attack": "fgsm", "crafted_on": "b", "published": {"a": 70, "b": 80}},
        },
    )
    own = {"a": of("deployed", range(5)), "b": of("deployed", range(2))}
    grid = paper_table(content, own, {"a": {"b": of("transfer", range(1))}})
    assert grid.header == HEADER
    assert [[first_line(cell) for cell in cells[2:5]] for cells in grid.rows] == [
        ["not given", "100.0", ""],
        ["99", "100.0", "+1.00"],
        ["50", "50.0", "+0.00"],
        ["60", "90.0", "+30.00"],
        ["70", "not run", ""],
        ["80", "80.0", "+0.00"],
    ]


def test_the_adaptive_number_is_the_worst_of_the_named_attacks_for_each_image():
    attacks = {"pgd": {1, 2}, "ddn": {2, 3, 4}, "cw": range(10)}
    rows = [r for name, found in attacks.items() for r in of("adaptive", found, name).rows]
    adaptive = Evaluation(header(**dict.fromkeys(attacks, info())), rows)
    named = {"attack": "fgsm", "adaptive": ["pgd", "ddn"], "published": {"net": 40}}
    content = table(metric="robust accuracy", view="transfer", rows={"FGSM": named})
    transfer = {"net": of("transfer", {0})}
    grid = paper_table(content, transfer, adaptive={"net": adaptive})
    assert [first_line(cell) for cell in grid.rows[-1][2:]] == [
        "40",
        "90.0",
        "+50.00",
        "differs",
        "60.0",
    ]
    assert grid.notes[-1] == (
        "adaptive: correct under the worst for each image, white box, of pgd (Linf 0.1), "
        "ddn (Linf 0.1) beside FGSM."
    )
    assert paper_table(content, transfer).rows[-1][-1] == ""
