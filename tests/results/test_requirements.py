"""Requirements: what holds, what does not, what cannot be told, and the files for CI."""

import json
from xml.etree import ElementTree

import pytest

from robust.errors import ConfigError
from robust.results.requirements.measured import Measured, of_numbers, of_records
from robust.results.requirements.reports import junit, sarif
from robust.results.requirements.requirement import (
    Judged,
    Requirement,
    exit_code,
    judge,
    requirements_grid,
)
from tests.support.factories import evaluation, info


def judged(text, low, high):
    measured = None if low is None else Measured((low + high) / 2, low, high, 100, "records/a.csv")
    return Judged("net/a", Requirement.parse(text), measured)


@pytest.mark.parametrize(
    ("text", "interval", "outcome"),
    [
        ("adaptive.robust>=0.45", (0.45, 0.6), "holds"),
        ("adaptive.robust>=0.45", (0.40, 0.6), "cannot tell"),
        ("adaptive.robust>=0.45", (0.30, 0.449), "does not hold"),
        ("adaptive.robust > 45%", (0.45, 0.6), "cannot tell"),
        ("robust<=0.1", (0.0, 0.1), "holds"),
        ("clean<0.1", (0.1, 0.2), "does not hold"),
        ("unit_test>=0.95", (None, None), "cannot tell"),
    ],
)
def test_the_interval_decides(text, interval, outcome):
    assert judged(text, *interval).outcome == outcome


def test_one_that_does_not_hold_outranks_one_that_cannot_be_told():
    holds, unclear = judged("clean>=0", 0.1, 0.2), judged("clean>=0.15", 0.1, 0.2)
    lacking = judged("clean>=0.3", 0.1, 0.2)
    assert [exit_code(each) for each in ([], [holds], [holds, unclear], [unclear, lacking])] == [
        *(0, 0, 4, 3)
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("", "adaptive.robust", "robust=0.5", "robst>=0.5", "robust>=1.5", "robust>=nan"),
        *("robust>=x", "certified>=0.5", "adaptive.clean>=0.1", ">=0.5", "a" * 400),
    ],
)
def test_what_states_no_requirement_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match="Expected a requirement") as error:
        Requirement.parse(text)
    assert len(str(error.value)) <= 300


def test_numbers_of_records_are_those_of_the_table():
    views = {("deployed", "fgsm"): 20, ("adaptive", "fgsm"): 100}
    found = of_records(evaluation({"fgsm": info()}, views), "records/a.csv")
    assert {name: each.value for name, each in found.items()} == {
        "clean": 1.0,
        "robust": 0.5,
        "deployed.robust": 0.9,
        "adaptive.robust": 0.5,
    }
    assert {each.n for each in found.values()} == {200}


def test_the_strongest_attack_counts_where_it_is_weakest():
    numbers = {"test/certified/radius_0.5": 0.4, "test/certified/radius_0.5_low": 0.3}
    for name, value in {"a": 0.5, "b": 0.9, "c": 0.7}.items():
        numbers |= {f"test/unit_test/adaptive/{name}{end}": value for end in ("", "_low", "_high")}
    attacks = {"a": info(), "b": info(), "c": info(norm="L2")}
    found = of_numbers(numbers, "metrics.csv", attacks)
    assert found["unit_test"].value == 0.7
    assert found["certified@0.5"] == Measured(0.4, 0.3, 1.0, None, "metrics.csv")
    assert of_numbers({}, "metrics.csv", attacks) == {}


def test_files_for_ci_say_what_does_not_hold():
    each = [judged(f"clean>=0.{bound}", 0.12, 0.2) for bound in (1, 15, 3)]
    suite = ElementTree.fromstring(junit(each))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [[child.tag for child in case] for case in suite] == [
        *(["system-out"], ["error"], ["failure"])
    ]
    run = json.loads(sarif(each))["runs"][0]
    assert [result["level"] for result in run["results"]] == ["warning", "error"]
    assert "n = 100; records/a.csv" in run["results"][0]["message"]["text"]


def test_the_table_shows_what_is_not_measured():
    found = judge([Requirement.parse("unit_test>=.9")], {"net/a": {}})
    assert requirements_grid(found).rows == [
        ["net/a", "unit_test>=0.9", "not measured", "cannot tell"]
    ]


def test_scores_beside_records_count(monkeypatch):
    score = {"test/unit_test/adaptive/fgsm": 0.9, "test/unit_test/adaptive/fgsm_low": 0.8}
    monkeypatch.setattr("robust.results.requirements.measured.summarize", lambda _: score)
    found = of_records(evaluation({"fgsm": info()}, {("adaptive", "fgsm"): 1}), "records/a.csv")
    assert found["unit_test"] == Measured(0.9, 0.8, 1.0, None, "records/a.csv")
