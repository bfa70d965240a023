"""What a sweep file may not hold is told in one line, with its key."""

from types import SimpleNamespace

import pytest
import yaml

from robust.errors import ConfigError
from robust.sweep import display
from robust.sweep.file import SweepFile
from robust.sweep.summary import Summary, shown
from robust.sweep.trials import Trial

GRID = {
    "program": "train.py",
    "method": "grid",
    "metric": {"name": "val/clean_acc", "goal": "maximize"},
    "parameters": {"x": {"values": [0.1, 0.3]}},
}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), ({"a": [None]}, '{"a": [null]}'), (0.1, "0.1"), ("é", "é")],
)
def test_values_print_as_yaml_has_them(value, text):
    assert shown(value) == text


def test_an_eps_in_grey_levels_is_written_so():
    assert shown(8 / 255, "evaluation.threat_model.eps") == "8/255"
    assert shown(0.1, "evaluation.threat_model.eps") == "0.1"
    assert shown(8 / 255, "model.init_args.beta") == "0.03137"


def read(tmp_path, content):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    return SweepFile.read(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "parameters",
    [None, [], 5, "x", {"x": None}, {"x": 5}, {"x": [1, 2]}, {"x": {}, "y": {"values": None}}],
)
@pytest.mark.parametrize("method", ["grid", "random", "bayes"])
def test_parameters_that_are_none(tmp_path, parameters, method):
    with pytest.raises(ConfigError, match=r"\AExpected [^\n]* in [^\n]*a\.yaml[^\n]*\Z"):
        read(tmp_path, {**GRID, "method": method, "parameters": parameters})


@pytest.mark.parametrize(
    ("state", "words"), [("running", ("none yet", "none yet")), ("failed", ("not logged", "none"))]
)
def test_a_run_without_numbers_says_so(state, words):
    file = SimpleNamespace(metric="val/clean_acc")
    driver = SimpleNamespace(file=file, live={}, history=lambda trial: [])
    trial = Trial("0", {"attack.eps": 8 / 255}, state)
    assert display._cells(driver, trial)[:3] == ("eps=8/255", *words)


def sweeping(*trials, live=(), count=5, slots=2):
    settings = SimpleNamespace(count=count, slots=range(slots))
    live = {str(i): SimpleNamespace(seconds=seconds) for i, seconds in enumerate(live)}
    return SimpleNamespace(settings=settings, trials=trials, live=live)


def test_the_time_left_is_that_of_runs_that_ended():
    ended = [Trial("a", {}, "finished", seconds=100), Trial("b", {}, "failed", seconds=140)]
    assert display._left(sweeping(*ended, live=[60, 150])) == "about 1.5 minutes left"
    assert display._left(sweeping(*ended, live=[60], count=3, slots=1)) == "about 1.0 minutes left"
    assert display._left(sweeping(live=[60])) == "time left not known yet"


def test_the_epoch_is_that_of_the_training():
    rows = [{"epoch": 1.0, "train/loss": 2.0}, {"epoch": 2.0, "test/clean_acc": 0.5}]
    file = SimpleNamespace(metric="test/clean_acc")
    driver = SimpleNamespace(file=file, live={}, history=lambda trial: rows)
    assert display._cells(driver, Trial("0", {}, "finished"))[1:3] == ("50.0", "2")


def test_a_run_whose_metrics_are_gone_is_not_the_best(tmp_path):
    trials = [Trial("0", {"x": 0.1}, "finished"), Trial("1", {"x": 0.3}, "finished")]
    histories = {"0": [], "1": [{"step": 1.0, "val/clean_acc": 0.5}]}
    summary = Summary.from_trials(read(tmp_path, GRID), trials, histories)
    assert summary.best == "1"
    assert [row[3] for row in summary.grid().rows] == ["50.0", "not logged"]
    gone, best, *_ = summary.grid().notes
    assert gone.startswith("0 finished: its metrics.csv is gone; it is not run again")
    assert best.startswith("Best val/clean_acc: 1")
