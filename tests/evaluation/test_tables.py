"""Tables of papers: which metric, through which view, beside which number."""

import pytest

from robust.errors import ConfigError
from robust.evaluation.records import Evaluation
from robust.evaluation.tables import published
from tests.evaluation.factories import header, info, row


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
    """Of ten images eight are correct; 2, 4 and 6 of these are turned through the views."""
    rows = []
    for turned, view in zip((2, 4, 6), views, strict=False):
        for i in range(10):
            clean = 0 if i < 8 else 1
            rows.append(row(i, view=view, clean=clean, adv=1 if i < turned else clean))
    return {"net": Evaluation(header(fgsm=info()), rows)}


def cells(content, columns):
    grid = published(content, columns)
    last = dict(zip(grid.header, grid.rows[-1], strict=True))
    return {key: value.split("\n")[0] for key, value in last.items()}


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
        "deployed": deployed,
        "difference": difference,
        "adaptive": adaptive,
    }


def test_the_papers_view_is_compared():
    grid = published(table(view="published"), measured())
    assert grid.header == ["attack", "model", "paper", "published", "difference", "adaptive"]
    assert [cell.split("\n")[0] for cell in grid.rows[-1][2:]] == ["40", "50.0", "+10.00", "75.0"]
    assert [cell.split("\n")[0] for cell in grid.rows[0][2:]] == ["90", "80.0", "-10.00", ""]


def test_a_view_that_was_not_attacked_is_not_run():
    found = cells(table(view="transfer"), measured())
    assert (found["transfer"], found["difference"], found["adaptive"]) == ("not run", "", "75.0")
    found = cells(table(), measured(views=("deployed",)))
    assert (found["deployed"], found["adaptive"]) == ("25.0", "")


def test_a_lost_number_has_no_difference():
    lost = {"FGSM": {"attack": "fgsm", "published": {"net": None}}}
    found = cells(table(rows=lost), measured())
    assert (found["paper"], found["deployed"], found["difference"]) == ("lost", "25.0", "")


def test_an_unknown_metric_is_refused():
    with pytest.raises(ConfigError, match=r"Expected the `metric` of Table 1 to be one of attack "):
        published(table(metric="accuracy"), {})
