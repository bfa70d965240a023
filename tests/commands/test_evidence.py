"""`robust evaluate` compares runs, finds or trains their twins, and is a gate for CI."""

import json
import shutil
from types import SimpleNamespace

import pytest

from robust.attacks import PGD
from robust.commands.evaluate import evaluate
from robust.commands.evidence.compared import Compared, check_comparable
from robust.commands.evidence.twin import identity, undefended
from robust.commands.main import main
from robust.data import ImageDataModule
from robust.errors import ConfigError
from robust.evaluation.suite import Suite
from robust.io.strict_yaml import read
from robust.results.metrics_csv import training_seconds
from tests.conftest import write_npz

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def runs(trained, tmp_path_factory):
    """Copies that may be written into, with records of their suite."""
    root = tmp_path_factory.mktemp("evidence") / "runs"
    for name, folder in trained.items():
        shutil.copytree(folder, root / name / "a")
    return root


def ended(words, capsys):
    code = evaluate(list(map(str, words)))
    output = capsys.readouterr()
    return code, output.out, output.err


def test_against_another_run(runs, suite, capsys):
    words = [runs / "squeezed/a", "--suite", suite, "--against", runs / "standard/a"]
    code, out, err = ended(words, capsys)
    assert code == 0, err
    assert "against standard/a" in out
    assert "McNemar" in out


def test_a_twin_is_found_and_says_what_the_defense_buys(runs, suite, capsys):
    code, out, err = ended([runs / "squeezed/a", "--suite", suite, "--twin"], capsys)
    assert code == 0, err
    assert "trains the undefended twin" not in err
    assert "undefended: standard/a" in out
    assert "robust accuracy, adaptive" in out
    assert "training, seconds" in out
    assert "not measured" not in out


def test_a_twin_is_trained_once(runs, suite, tmp_path, capsys):
    shutil.copytree(runs / "squeezed/a", tmp_path / "runs/squeezed/b")
    words = [tmp_path / "runs/squeezed/b", "--suite", suite, "--twin"]
    code, out, err = ended(words, capsys)
    assert code == 0, err
    assert "undefended: squeezed-undefended/b" in out
    twin = tmp_path / "runs/squeezed-undefended/b"
    assert read(twin / "config.yaml")["model"]["class_path"] == "robust.defenses.Standard"
    assert training_seconds(twin) > 0
    code, out, err = ended(words, capsys)
    assert (code, "trains the undefended twin" in err) == (0, False)


def test_a_twin_has_no_part_of_the_defense():
    network = {"class_path": "robust.networks.MLP"}
    data = {"dataset": "digits", "augmentation": {"class_path": "A"}, "crops": {"class_path": "C"}}
    config = {
        "seed_everything": 3,
        "model": {
            "class_path": "robust.defenses.Squeezed",
            "init_args": {"network": network, "transform": {"class_path": "T"}, "temperature": 20},
        },
        "data": {"class_path": "D", "init_args": data},
        "trainer": {"max_epochs": 5},
    }
    twin = undefended(config)
    assert twin["model"]["init_args"] == {"network": network}
    assert "augmentation" not in twin["data"]["init_args"]
    assert "crops" in twin["data"]["init_args"]
    assert identity(twin)["seed"] == 3
    with pytest.raises(ConfigError, match="undefended itself"):
        undefended(twin)


@pytest.mark.parametrize(
    ("requirements", "code"),
    [(["clean>=0"], 0), (["clean>=0", "robust>=1"], 3), (["clean>=0", "unit_test>=.9"], 4)],
)
def test_the_exit_code_says_whether_requirements_hold(runs, suite, capsys, requirements, code):
    words = [word for text in requirements for word in ("--require", text)]
    ended_with, out, _ = ended([runs / "squeezed/a", "--suite", suite, *words], capsys)
    assert ended_with == code
    assert "Requirements" in out


def test_files_for_ci(runs, suite, tmp_path, capsys):
    words = [
        "--require",
        "robust>=1",
        "--junit",
        tmp_path / "j.xml",
        "--sarif",
        tmp_path / "s.json",
    ]
    code, *_ = ended([runs / "squeezed/a", "--suite", suite, *words], capsys)
    assert code == 3
    assert '<failure type="does not hold"' in (tmp_path / "j.xml").read_text()
    (result,) = json.loads((tmp_path / "s.json").read_text())["runs"][0]["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri.startswith("a/records/tiny-")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--require", "robst>=0.5"], "Expected a requirement"),
        (["--junit", "x.xml"], "Expected requirements for --junit"),
        (["--twin", "--against", "{run}"], "Give one"),
        (["--against", "{run}"], "that run alone"),
        (["--against", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(runs, suite, capsys, words, why):
    run = str(runs / "squeezed/a")
    given = [word.format(run=run) for word in words]
    try:
        code = main(["evaluate", run, "--suite", str(suite), *given])
    except SystemExit as end:
        code = end.code
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2
    assert why in err
    assert len(err) <= 310


def test_other_images_are_refused_before_anything_is_attacked(npz, tmp_path):
    write_npz(tmp_path / "bars.npz", classes=5)
    runs = [
        SimpleNamespace(name=path.parent.name, data=ImageDataModule(str(path)))
        for path in (npz, tmp_path / "bars.npz")
    ]
    suite = Suite("tiny", {"pgd": PGD})
    check_comparable(Compared(runs, [(0, 0)]), suite)
    with pytest.raises(ConfigError, match="Expected the same images to compare on"):
        check_comparable(Compared(runs, [(0, 1)]), suite)
