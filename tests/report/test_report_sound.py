"""A page leaves out runs and charts that cannot be shown."""

import datetime
import math
import shutil
from pathlib import Path

import pytest

import robust.report.chart_data
import robust.report.page
import robust.report.sound
from robust.commands.evaluate import evaluate
from robust.io.notes import Steps, sentences
from robust.report import render
from robust.report.chart_data import Charts
from robust.report.papers import papers_of
from robust.report.protocols import differing, protocols
from robust.report.sound import section, sound_protocols, sound_runs
from robust.results.records import Evaluation
from robust.results.run_folder import RunFiles
from tests.support.factories import evaluation, info, row
from tests.support.papers import PAPERS

MODEL = {"model": {"class_path": "robust.defenses.Standard"}}


def run_of(name, found=None, config=MODEL, root="runs"):
    folder = Path(root) / name
    evaluations = {} if found is None else {folder / "a.csv": found}
    return RunFiles(folder, name, config, evaluations=evaluations)


def attacked(n=20):
    attacks = {"fgsm_1": info(eps=0.1), "fgsm_2": info(eps=0.2)}
    return evaluation(attacks, {(view, "fgsm_1"): 3 for view in ("deployed", "adaptive")}, n)


def unknown_attack():
    """Rows of an attack that the header does not name."""
    header = attacked().header
    return Evaluation(header, [row(0, attack="other")])


@pytest.fixture
def page(trained, tmp_path):
    """Makes the page of the trained runs, and says what it leaves out."""
    for name, folder in trained.items():
        shutil.copytree(folder, tmp_path / "runs" / name)

    def make():
        steps = Steps()
        text = render([tmp_path / "runs"], PAPERS, steps=steps)
        assert all(name in text for name in ("squeezed", "standard"))
        return text, sentences(steps)

    return make


def test_a_sound_page_leaves_nothing_out(page):
    text, left_out = page()
    assert left_out == []
    assert "left out, since they cannot be shown" not in text


PARTS = {
    "plot_curves": robust.report.sound,
    "plot_pareto": robust.report.sound,
    "plot_parallel": robust.report.sound,
    "comparison": robust.report.sound,
    "training_spec": robust.report.chart_data,
    "overlaps": robust.report.page,
    "papers_of": robust.report.page,
    "album": robust.report.page,
    "differing": robust.report.page,
}


def failing(part):
    def fail(*args, **kwargs):
        raise ZeroDivisionError(f"<b>{part}</b>")

    return fail


def test_no_parts_cost_the_page(page, monkeypatch):
    """All of them at once, of which each is told."""
    for part, module in PARTS.items():
        monkeypatch.setattr(module, part, failing(part))
    text, left_out = page()
    for part in PARTS:
        assert any(f"ZeroDivisionError: <b>{part}</b>" in line for line in left_out)
        assert f"&lt;b&gt;{part}&lt;/b&gt;" in text


@pytest.mark.parametrize(
    "part",
    [pytest.param(p, marks=[pytest.mark.slow] if p != "plot_curves" else []) for p in PARTS],
)
def test_no_part_costs_the_page(page, monkeypatch, part):
    monkeypatch.setattr(PARTS[part], part, failing(part))
    text, left_out = page()
    assert left_out
    assert all(f"ZeroDivisionError: <b>{part}</b>" in line for line in left_out)
    assert f"&lt;b&gt;{part}&lt;/b&gt;" in text


def test_the_command_writes_the_page_and_notes(page, monkeypatch, tmp_path, capsys):
    def failing(*args):
        raise RuntimeError("no chart")

    monkeypatch.setattr(robust.report.sound, "plot_pareto", failing)
    output = tmp_path / "page.html"
    assert evaluate(["--report", str(tmp_path / "runs"), "-o", str(output)]) == 0
    printed = capsys.readouterr().err
    assert printed.startswith("note: The Pareto front, tiny, bars is left out: RuntimeError: no c")
    assert output.stat().st_size > 100_000


def test_a_run_whose_records_give_no_numbers_costs_no_other():
    steps = Steps()
    given = [run_of("good", attacked()), run_of("bad", unknown_attack())]
    (found,) = sound_protocols(protocols(given), steps)
    assert [entry.label for entry in found.entries] == ["good"]
    assert [line.split(" is left out")[0] for line in sentences(steps)] == [
        "bad under test, digits"
    ]
    assert sound_protocols(protocols([given[1]]), steps) == []


@pytest.mark.parametrize(
    "config",
    [
        {"trainer": {"max_epochs": "many"}},
        {"trainer": {"max_epochs": [1]}},
        {"made": datetime.date(2020, 1, 1)},
        {"seeds": {1, 2}},
    ],
    ids=["text", "list", "date", "set"],
)
def test_odd_configs_are_shown(config):
    steps = Steps()
    odd = RunFiles(Path("runs/odd"), "odd", config, epoch=3)
    _, kept = sound_runs([run_of("good"), odd], steps)
    assert kept.config == config
    assert not steps.failed
    for values in differing({"odd": config, "good": MODEL}).values():
        assert isinstance(values.get("odd", ""), str)


def test_a_config_that_cannot_be_shown_costs_its_own_row(monkeypatch):
    def fussy(configs):
        if "odd" in configs[""]:
            raise TypeError("cannot be shown")

    monkeypatch.setattr(robust.report.sound, "differing", fussy)
    steps = Steps()
    odd = RunFiles(Path("runs/odd"), "odd", {"odd": 1}, epoch=3)
    good, kept = sound_runs([run_of("good"), odd], steps)
    assert good.config == MODEL
    assert (kept.name, kept.config, kept.missing) == ("odd", {}, ["cannot be shown"])
    assert len(steps.failed) == 1


def test_runs_of_one_name_are_told_apart():
    given = [run_of("net/a", root=f"{root}/runs") for root in ("one", "two", "two/deeper")]
    names = [run.name for run in sound_runs([*given, run_of("net/b")], Steps())]
    assert names[3] == "net/b"
    assert len(set(names)) == 4
    assert names[0] == "one/runs/net/a"


def test_a_chart_of_numbers_that_are_not_finite_is_left_out():
    charts, steps = Charts([run_of("a", attacked())]), Steps()
    with steps.step("chart"):
        charts.add("key", "title", "spec", dict, data={"rate": [1.0, math.nan]})
    assert "chart" in steps.failed
    assert not charts.charts
    (protocol,) = protocols(charts.runs)
    shown = section(charts, protocol, steps)  # of two attacks, one has no rows yet
    assert list(steps.failed) == ["chart"]
    (curve,) = shown.curves
    assert set(charts.charts[curve["key"]]["data"]["data"]["eps"]) == {0.0, 0.1}


def test_a_table_that_cannot_be_read_costs_no_other(tmp_path, monkeypatch):
    for folder in ("suites", "tables"):
        shutil.copytree(PAPERS / "tuna2022" / folder, tmp_path / folder)
    odd = (tmp_path / "tables" / "tuna2022_table1.yaml").read_text()
    (tmp_path / "tables" / "a.yaml").write_text(odd.replace("clean_acc: {", "clean_acc: 3 #"))
    config = {
        "model": {
            "class_path": "robust.defenses.Standard",
            "init_args": {"network": "robust.networks.TunaMnistCNN"},
        },
        "data": {"class_path": "robust.data.ImageDataModule"},
    }
    made = evaluation({"fgsm": info()}, {("deployed", "fgsm"): 2}, 20)
    made.header.__dict__.update(suite="tuna2022_mnist_part1", data="mnist")
    run = RunFiles(Path("a"), "a", config, epoch=19, evaluations={Path("a"): made})
    grids, left_out = papers_of(tmp_path / "tables", protocols([run]))
    assert len(grids) == 1
    assert [line.split(" is left out: ")[0] for line in left_out] == ["a.yaml"]
