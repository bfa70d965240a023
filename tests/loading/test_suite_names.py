"""A suite that has no name has that of its file, in titles, records and W&B."""

import pytest

import robust
from robust.commands.options.train import with_paths
from robust.commands.train import train
from tests.support.tiny import ROOT, arguments

ATTACKS = "attacks: {fgsm: {class_path: robust.attacks.FGSM}}\n"
MODEL = "threat_model: {norm: Linf, eps: 0.1}\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my suite.yaml"
    path.write_text(MODEL + ATTACKS)
    return path


def test_in_python_and_evaluate(file):
    assert robust.Suite.load(file).name == "my suite"
    file.write_text(f"suite: other\n{MODEL}{ATTACKS}")
    assert robust.Suite.load(file).name == "other"


def test_in_a_training(capsys, npz, file, tmp_path, quiet):
    words = arguments(npz, tmp_path / "runs", file, "Standard", epochs=1)
    assert train([*words, "--run.id=a", "--evaluation.limit=10"]) == 0
    assert "suite my suite" in capsys.readouterr().out.replace("\n", " ")
    records = tmp_path / "runs/standard/a/records"
    assert [path.name.split("-")[0] for path in records.glob("*.json")] == ["my suite"]


def test_what_a_flag_says_wins(file):
    given = [f"--evaluation={file}", "--evaluation.suite=mine"]
    assert with_paths(given) == [given[0], "--evaluation.suite=my suite", given[1]]
    assert with_paths(["--evaluation", str(file)])[-1] == "--evaluation.suite=my suite"


def test_a_config_names_the_file(file, tmp_path):
    config = tmp_path / "configs" / "mine.yaml"
    config.parent.mkdir()
    config.write_text(f"evaluation: ../{file.name}\n")
    name = "--evaluation.suite=my suite"
    assert with_paths([f"--config={config}"]) == [f"--config={config}", name]
    assert with_paths(["--config", str(config), "-x"]) == ["--config", str(config), name, "-x"]
    other = ROOT / "configs/suites/quick.yaml"
    assert with_paths([f"--config={config}", f"--evaluation={other}"])[-1].endswith("quick.yaml")
    for text in ("evaluation: {limit: 3}", "evaluation: missing.yaml", "[1]", "evaluation: 3", ""):
        config.write_text(text)
        assert with_paths([f"--config={config}"]) == [f"--config={config}"]


@pytest.mark.parametrize("text", ["suite: x\n" + ATTACKS, "a: [", "[1]", "limit: 3\n"])
def test_a_file_that_names_it_or_is_none_gets_no_flag(file, text):
    file.write_text(text)
    assert with_paths([f"--evaluation={file}"]) == [f"--evaluation={file}"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("attaks: {pgd: {}}\n", "Rename `attaks` to `attacks`."),
        ("limit: 60\n", "my suite.yaml, but it has none."),
    ],
)
def test_a_training_takes_no_file_without_attacks_for_a_suite(
    text, told, capsys, npz, file, tmp_path, quiet
):
    words = arguments(npz, tmp_path / "runs", file, "Standard", epochs=1)
    file.write_text(text)
    config = tmp_path / "mine.yaml"
    config.write_text(f"evaluation: {file.name}\n")
    for asked in (words, ["fit", f"--config={config}", *words[1:]]):
        given = [word for word in asked if asked is words or not word.startswith("--evaluation=")]
        assert train([*given, "--run.id=a"]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_an_empty_file_is_no_suite(capsys, npz, file, tmp_path, quiet):
    file.write_text("")
    with pytest.raises(SystemExit, match="2"):
        train(arguments(npz, tmp_path / "runs", file, "Standard"))
    assert "my suite.yaml, but the file is empty." in capsys.readouterr().err
