"""The house stays one to live in: few files in a folder, short files, short functions."""

import ast
import functools
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "robust"
FACE = {"__init__.py", "__main__.py", "api.py"}
"""They do not count as loose modules."""
CONSTRUCTORS_OF_YAML = {
    ("defenses/wnll/defense.py", "__init__"),
    ("data/datamodule.py", "__init__"),
    ("attacks/gradient/base.py", "__init__"),
    ("attacks/gradient/pgd.py", "__init__"),
    ("evaluation/flat.py", "evaluation_of"),
    ("evaluation/callback.py", "__init__"),
    ("api.py", "evaluate"),
}
"""Their arguments are the keys of a config or a suite; `robust.evaluate` has those of the command's
flags, by name alone."""


ASKED = ast.FunctionDef | ast.AsyncFunctionDef | ast.Call


@functools.cache
def nodes():
    """The functions and calls in the syntax trees of the package, each with its file."""
    return [
        (name, node)
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in [path.relative_to(PACKAGE).as_posix()]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ASKED)
    ]


def functions():
    """Each function of the package with its file."""
    defined = ast.FunctionDef | ast.AsyncFunctionDef
    return [(path, node) for path, node in nodes() if isinstance(node, defined)]


def calls(name):
    """Each call of a function of that name with its file."""
    found = [(path, node) for path, node in nodes() if isinstance(node, ast.Call)]
    return [(path, node) for path, node in found if getattr(node.func, "id", "") == name]


def kinds_of(call):
    """Names of the second argument of `isinstance`, if it is a class."""
    return {call.args[1].id} if isinstance(call.args[1], ast.Name) else set()


def body(function):
    """Number of lines of a function without its signature and docstring."""
    statements = function.body[ast.get_docstring(function) is not None :]
    return statements[-1].end_lineno - statements[0].lineno + 1 if statements else 0


def arguments(function):
    """Number of arguments with a name, without `self`."""
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return len([argument for argument in named if argument.arg not in ("self", "cls")])


def folders():
    """Each folder of the package with its number of files."""
    return {path: len(list(path.glob("*.py"))) for path in [PACKAGE, *PACKAGE.rglob("*/")]}


def test_no_folder_has_many_files():
    assert {path.name: n for path, n in folders().items() if n > 16} == {}


def test_few_modules_are_loose():
    loose = {path.name for path in PACKAGE.glob("*.py")} - FACE
    assert len(loose) <= 10, sorted(loose)


def test_no_file_is_long():
    lines = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {name: n for name, n in lines.items() if n > 340} == {}


def test_functions_are_short():
    lengths = [body(function) for _, function in functions()]
    assert len(lengths) > 2000
    assert statistics.median(lengths) <= 6
    assert sum(length < 20 for length in lengths) >= 0.9 * len(lengths)


def test_no_function_is_a_stub():
    files = PACKAGE.rglob("*.py")
    assert [path.name for path in files if "raise NotImplementedError" in path.read_text()] == []


def test_functions_have_few_arguments():
    many = {(path, node.name) for path, node in functions() if arguments(node) > 10}
    assert many == CONSTRUCTORS_OF_YAML


def test_one_place_builds_a_trainer():
    """All but `train.py`, whose LightningCLI builds its own, go through it."""
    assert [path for path, _ in calls("Trainer")] == ["tracking/trainers.py"]


def test_one_place_asks_whether_data_are_of_images():
    found = [path for path, node in calls("isinstance") if "ImageDataModule" in kinds_of(node)]
    assert found == ["data/of_trainer.py"]


@pytest.mark.parametrize(("page", "most"), [("docs/architecture.md", 120)])
def test_a_page_is_short(page, most):
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= most


def test_every_folder_and_loose_module_is_on_the_page_of_the_house():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    floors = page.split("## Floors")[1].split("## Contracts")[0]
    rooms = [path.name for path in PACKAGE.glob("*/") if (path / "__init__.py").exists()]
    rooms += [path.stem for path in PACKAGE.glob("*.py") if path.name not in FACE]
    assert [room for room in rooms if room not in floors] == []
