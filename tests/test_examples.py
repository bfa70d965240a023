"""Each script of `examples/` runs, is short, and is what README shows."""

import json
import re
import runpy
from functools import wraps

import pytest

import robust
from tests.support.tiny import ROOT

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
pytestmark = pytest.mark.usefixtures("quiet")


def with_less(function, **less):
    """Return `function` with smaller numbers for those arguments that it is given, or may be."""

    @wraps(function)
    def called(*args, **given):
        return function(*args, **{**given, **less})

    return called


@pytest.fixture(autouse=True)
def _two_batches(tmp_path, monkeypatch):
    """Trainings of two batches and few images, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    short = {"accelerator": "cpu", "progress": False}
    attacked = {**short, "limit": 10, "attacks": ["fgsm", "pgd"]}
    trained = {**short, "max_epochs": 1, "limit_train_batches": 2}
    monkeypatch.setattr(robust, "fit", with_less(robust.fit, **trained))
    monkeypatch.setattr(robust, "evaluate", with_less(robust.evaluate, **attacked))
    evaluate = with_less(robust.LoadedRun.evaluate, **attacked)
    monkeypatch.setattr(robust.LoadedRun, "evaluate", evaluate)


def cells(notebook):
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["source"]]


def code_of(notebook):
    """Return its Python, as its cells are run from the first to the last."""
    return "\n".join("".join(c["source"]) for c in cells(notebook) if c["cell_type"] == "code")


def test_there_are_five():
    numbers = [path.name[:2] for path in sorted([*SCRIPTS, *NOTEBOOKS])]
    assert numbers == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_runs(script, capsys):
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, capsys):
    exec(compile(code_of(notebook), notebook.name, "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert re.search(r"^squeezed +adaptive +\d", printed, re.M)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_output(notebook):
    made = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in made)


@pytest.mark.parametrize("path", [*SCRIPTS, *NOTEBOOKS], ids=lambda path: path.stem)
def test_it_is_short(path):
    text = code_of(path) if path in NOTEBOOKS else path.read_text()
    assert len(text.splitlines()) < 40


def test_the_blocks_of_the_readme_are_parts_of_examples():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```", page)
    assert len(blocks) == 2
    for block in blocks:
        assert any(block in path.read_text() for path in SCRIPTS)
