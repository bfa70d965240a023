"""Requirements: n of the attack unit test, and which runs they apply to."""

from types import SimpleNamespace

from robust.commands.evidence.compared import Compared, _with_others
from robust.commands.evidence.required import _tested
from robust.measures.unit_test.attacked import Scores
from robust.measures.unit_test.measurement import AttackUnitTest, UnitTest
from robust.report import comparisons
from robust.results.rates import Rate
from robust.results.requirements.measured import of_numbers, of_records
from robust.results.requirements.reports import junit, sarif
from robust.results.requirements.requirement import Requirement, judge
from tests.results.test_evidence import attacked, scored


def test_the_unit_test_has_its_n():
    found = of_records(attacked(scored(57)), "records/a.csv")
    assert (found["unit_test"].n, found["deployed.unit_test"].n) == (60, 60)
    judged = judge([Requirement.parse("unit_test>=0.99")], {"run/a": found})
    for text in (junit(judged), sarif(judged)):
        assert "unit_test of run/a is 0.9500 (0.8630 to 0.9829, n = 60; records/a.csv)." in text


def test_that_of_a_measurement_has_it_too():
    rates = {"adaptive": {"pgd": Rate(20, 31)}}
    scores = Scores(found=rates, random=Rate(1, 32), separated=Rate(32, 32))
    result = UnitTest("tiny", 64, {"Linf 0.1": scores})
    numbers = AttackUnitTest.numbers(result)
    found = of_numbers(numbers, "this command", attacked().header.attacks, _tested(result))
    assert found["unit_test"].n == 31
    assert _tested("of another measurement") == {}


def run(path):
    return SimpleNamespace(name=path.name, path=path)


def test_a_run_to_compare_with_is_no_candidate(tmp_path):
    one, other = (run(tmp_path / name) for name in "ab")
    names = {"one": one, "other": other}
    assert _with_others([one], [other]).required(names) == {"one": one}
    assert _with_others([one], [other], twins=True).required(names) == {"one": one}
    assert _with_others([one, other], [other, other]).required(names) == names
    assert Compared([one, other]).required(names) == names


def test_nor_is_it_on_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(comparisons, "_measured", lambda entry: {})
    entries = [SimpleNamespace(label=n, run=SimpleNamespace(folder=tmp_path / n)) for n in "ab"]
    found = [SimpleNamespace(title="quick", entries=entries)]
    assert list(comparisons.measured(found)) == ["a, quick", "b, quick"]
    assert list(comparisons.measured(found, tmp_path / "b")) == ["a, quick"]
