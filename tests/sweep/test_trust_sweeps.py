"""What a sweep file may run, and what its runs trust."""

import os
import sys
from pathlib import Path

import pytest
import yaml

import robust.commands.sweep
from robust.commands.options.train import check
from robust.commands.sweep import sweep
from robust.errors import ConfigError
from robust.loading import trust
from robust.loading.short_names import find
from robust.loading.trust import UntrustedError
from robust.sweep.command import check_command, check_parameters
from robust.sweep.file import SweepFile
from robust.sweep.process import Slot, _environment
from tests.support.tiny import ROOT

TRAIN = str(ROOT / "train.py")
GRID = {
    "program": TRAIN,
    "method": "grid",
    "metric": {"name": "val/clean_acc"},
    "parameters": {"x": {"values": [1]}},
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def file(**content):
    return SweepFile(Path("evil.yaml"), GRID | content)


HEAD = ["${interpreter}", "${program}"]


@pytest.mark.parametrize(
    "command",
    [
        None,
        [*HEAD, "fit", "${args}"],
        ["${env}", *HEAD, "fit", "--config", "configs/a.yaml", "${args}"],
        [*HEAD, "fit", "${args_no_boolean_flags}"],
        ["${interpreter}", TRAIN, "fit", "${args}"],
        ["${env}", "${interpreter}", "-m", "robust", "train", "${args}"],
        ["robust", "train", "${args}"],
    ],
)
def test_a_file_may_run_train_and_robust(command):
    check_command(file(command=command))


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda p: p.stem)
def test_our_own_sweeps_are_trusted(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    content = SweepFile.read(path)
    check_command(content)
    check_parameters(content)


@pytest.mark.parametrize("name", ["temperature", "sweeps/temperature.yaml"])
def test_our_own_sweeps_run_outside_of_the_clone(name):
    content = SweepFile.read(find(name, "sweep"))
    check_command(content)
    words = content.command({"model.init_args.temperature": 3})
    assert words[1:7] == [sys.executable, "-P", "-m", "robust", "fit", "--config"]
    check(words[5:])
    Path("train.py").touch()  # a stranger's
    with pytest.raises(UntrustedError):
        check_command(content)


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "touch MARKER"],
        ["touch", "MARKER"],
        ["${env}", "touch", "MARKER"],
        ["${env}", "ROBUST_TRUST=subprocess", *HEAD, "${args}"],
        ["${env}", "PYTHONPATH=evil", *HEAD, "${args}"],
        ["${interpreter}", "-c", "import os; os.system('touch MARKER')"],
        ["${interpreter}", "-m", "http.server"],
        ["${interpreter}", "-m", "robustness.evil"],
        ["${interpreter}", "-X", "importtime", "${program}"],
        ["${interpreter}", "evil.py", "${args}"],
        ["${interpreter}", "train.py", "${args}"],
        ["${program}", "${args}"],
        ["${args}"],
        ["./robust", "${args}"],
        ["python", "${program}", "${args}"],
        [*HEAD, "fit", "--trust", "subprocess"],
        [*HEAD, "fit", "--trust=subprocess"],
        [*HEAD, "--trust-command"],
        [*HEAD, "fit", "--run.name=${envvar:WANDB_API_KEY}"],
        [*HEAD, "fit", "${envvar:WANDB_API_KEY}"],
        [*HEAD, "fit", "--x=${args}"],
        [["touch", "MARKER"]],
        {"a": 1},
    ],
)
def test_nothing_else(command):
    Path("train.py").write_text("open('MARKER', 'w').close()")  # a stranger's
    with pytest.raises(UntrustedError, match=r"`command` of evil\.yaml .* add --trust-command\."):
        check_command(file(command=command))


@pytest.mark.parametrize("program", ["evil.py", "train.py", "sh", "/bin/sh", "../train.py", "-c"])
def test_nor_another_program(program):
    Path("train.py").write_text("open('MARKER', 'w').close()")
    with pytest.raises(UntrustedError, match=r"--trust-command"):
        check_command(file(program=program))


def test_a_train_py_that_is_not_there():
    command = ["${interpreter}", "train.py", "fit", "${args}"]
    with pytest.raises(ConfigError, match=r"a train\.py here, the `program` of evil"):
        check_command(file(program="train.py", command=command))
    assert check_command(file(program="train.py")) is None  # `robust` stands in for it


def test_a_long_command_is_shown_in_part():
    with pytest.raises(UntrustedError) as refused:
        check_command(file(command=["sh", "-c", "echo\n\t" + "x" * 5000]))
    assert len(str(refused.value)) <= 300
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        "subprocess.Popen",
        {"class_path": "subprocess.Popen", "init_args": {"args": "true"}},
        [{"class_path": "subprocess.Popen"}],
    ],
)
def test_a_value_that_is_a_class_needs_trust(value, monkeypatch):
    content = file(parameters={"model.init_args.network": {"values": [value]}})
    with pytest.raises(UntrustedError, match=r"evil\.yaml, but got subprocess\.Popen.*--trust s"):
        check_parameters(content)
    monkeypatch.setenv("ROBUST_TRUST", "subprocess")
    check_parameters(content)


def test_values_that_are_no_classes_need_none():
    values = ["relu", "a.b", 0.1, "torch.nn.ReLU", "robust.networks.MLP", "16-mixed", "x.yaml"]
    check_parameters(file(parameters={"x": {"values": values}}))


def shown(script):
    """A sweep of one run whose program prints what it was given."""
    Path("shown.py").write_text(script)
    content = GRID | {"program": "shown.py", "name": "shown"}
    Path("shown.yaml").write_text(yaml.safe_dump(content))


def test_the_command_refuses_and_starts_nothing(capsys):
    shown("open('MARKER', 'w').close()")
    assert sweep(["shown.yaml"]) == 2
    error = capsys.readouterr().err
    assert "shown.py" in error
    assert "--trust-command" in error
    assert not Path("MARKER").exists()
    assert not Path("runs").exists()


def test_runs_are_handed_what_the_user_trusts(monkeypatch):
    monkeypatch.setenv("ROBUST_TRUST", "tests")
    seen = {}

    def started(*_, **__):
        seen.update(_environment(Slot("0"), 1))
        return 0

    monkeypatch.setattr(robust.commands.sweep, "_sweep", started)
    flags = ["--", "--model.network=colorsys.rgb_to_hsv"]
    assert sweep(["shown.yaml", "--trust=pack", "--workers=1", *flags]) == 0
    assert seen[trust.ENVIRONMENT] == "tests,pack,colorsys.rgb_to_hsv"
    assert seen[trust.FLAGS_OF_FILE] == "1"
    assert os.environ["ROBUST_TRUST"] == "tests"


def test_a_sweep_in_a_sweep_trusts_no_command(monkeypatch, capsys):
    shown("open('MARKER', 'w').close()")
    monkeypatch.setenv(trust.FLAGS_OF_FILE, "1")
    assert sweep(["shown.yaml", "--trust-command"]) == 2
    assert sweep(["shown.yaml", "--trust", "pack"]) == 2
    assert "Expected no --trust" in capsys.readouterr().err
    assert not Path("MARKER").exists()
    assert sys.modules.get("pack") is None


@pytest.mark.parametrize("key", ["trust", "trust-command"])
def test_no_parameter_trusts(key):
    with pytest.raises(UntrustedError, match=r"no parameter 'trust.*evil\.yaml"):
        check_parameters(file(parameters={key: {"value": True}}))
