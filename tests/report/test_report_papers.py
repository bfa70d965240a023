"""The tables of papers on the page that compares runs."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from robust.report.papers import papers_of
from robust.report.protocols import protocols
from robust.results.cells import as_text
from robust.results.records import Evaluation
from robust.results.run_folder import RunFiles
from tests.support.factories import evaluation, info
from tests.support.papers import PAPERS
from tests.support.tiny import ROOT

TANH = {"class_path": "robust.defenses.Squeezed", "init_args": {"activation": "tanh"}}


def run(name, model, suite="quick", data="digits", n=200):
    """A run that was attacked with FGSM."""
    config = {"model": model, "data": {"class_path": "robust.data.ImageDataModule"}}
    successes = {("deployed", "fgsm"): n // 10, ("adaptive", "fgsm"): n // 2}
    made = evaluation({"fgsm": info()}, successes, n)
    found = Evaluation(replace(made.header, suite=suite, data=data), made.rows)
    return RunFiles(Path(name), name, config, evaluations={Path(name): found})


@pytest.fixture
def tables(tmp_path):
    """A table with two columns, of the suite of these runs, and files that are no such tables."""
    table = {
        "title": "A paper, Table 1",
        "metric": "attack success",
        "suite": "suite.yaml",
        "columns": {"tanh": TANH, "absent": {"class_path": "robust.defenses.Trades"}},
        "clean_acc": {"tanh": 99.5, "absent": 99.0},
        "rows": {"FGSM": {"attack": "fgsm", "published": {"tanh": 1.5, "absent": 2}}},
    }
    measured = {"metric": "robustness", "columns": table["columns"], "rows": {}}
    later = {**table, "columns": {"tanh": {"class_path": "robust.defenses.OfAnotherVersion"}}}
    files = {
        "table": table,
        "suite": {"suite": "quick", "attacks": {"fgsm": {"class_path": "robust.attacks.FGSM"}}},
        "list": ["not a table"],
        "measured": {"title": "t", **measured},
        "later": later,
    }
    for name, content in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return tmp_path


def test_published_measured_and_adaptive_beside_each_other(tables):
    (grid,) = papers_of(tables, protocols([run("a", TANH)])).grids
    assert grid.title.startswith("A paper, Table 1")
    assert grid.header[2:] == [
        "paper",
        "ours, paper's attack",
        "difference",
        "agreement",
        "ours, adaptive",
    ]
    fgsm, absent = ([as_text(cell).split("\n")[0] for cell in row] for row in grid.rows[2:])
    assert fgsm == ["FGSM", "tanh", "1.5", "10.0", "+8.50", "differs", "50.0"]
    assert absent[3] == "not run"
    assert grid.notes[0].startswith("tanh: a, n = 200, masked")


def test_the_run_of_most_images_stands_for_all(tables):
    runs = [run(name, TANH, n=n) for name, n in (("a", 50), ("b", 200), ("c", 100))]
    (grid,) = papers_of(tables, protocols(runs)).grids
    assert grid.notes[0].startswith(
        "tanh: b, the one with most test images of 3 such runs, n = 200"
    )


@pytest.mark.parametrize(
    "model",
    [
        {"class_path": "robust.defenses.Squeezed", "init_args": {"activation": "sigmoid"}},
        {"class_path": "robust.defenses.NoLonger", "init_args": {"activation": "tanh"}},
        {"class_path": "elsewhere.Squeezed", "init_args": {"activation": "tanh"}},
        "robust.defenses.Squeezed",
        {},
    ],
    ids=["other argument", "class of another version", "of a user", "no mapping", "empty"],
)
def test_runs_of_no_column(model, tables):
    assert papers_of(tables, protocols([run("a", model)])).grids == []


def test_other_suites_and_data_sets_are_not_of_a_table(tables):
    assert papers_of(tables, protocols([run("a", TANH, "strong")])).grids == []
    named = tables / "paper_fashion_mnist.yaml"
    (tables / "table.yaml").rename(named)
    assert papers_of(tables, protocols([run("a", TANH, data="mnist")])).grids == []
    of_it = run("a", TANH, data="fashion_mnist")
    assert len(papers_of(tables, protocols([of_it])).grids) == 1


def test_a_page_with_tables_of_papers_imports_no_torch():
    """It takes seconds, of the ten that a page of fifty runs may take."""
    code = f"""
import sys
from pathlib import Path
import yaml
from robust.results.records import AttackInfo, Evaluation, Header
from robust.results.rows import Row
from robust.results.run_folder import RunFiles
from robust.report.protocols import protocols
from robust.report.page import render
from robust.report.papers import papers_of

tables = Path({str(PAPERS)!r})
attacks = {{"fgsm": AttackInfo("FGSM", {{}}, "Linf", 0.1, None, False)}}
header = Header("tuna2022_mnist_part1", attacks, 0, 8, "mnist", "d", "m", "a")
row = Row("deployed", "fgsm", 0, 1, -1, True, 1, 2, False, False, False, 0.1, 1, 9, 2, 0.1)
config = {{"model": yaml.safe_load({yaml.safe_dump(TANH)!r}), "data": {{}}}}
config["model"]["init_args"]["network"] = "robust.networks.TunaMnistCNN"
records = {{Path("a"): Evaluation(header, [row])}}
run = RunFiles(Path("a"), "a", config, epoch=19, evaluations=records)
assert len(papers_of(tables, protocols([run])).grids) == 1
print(sorted({{name for name in sys.modules if name in ("torch", "lightning", "matplotlib")}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
