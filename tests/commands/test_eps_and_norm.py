"""`evaluate --eps E --norm N` and the flag of a training: the threat model of a complete suite."""

import shutil

import pytest

from robust.commands.evaluate import evaluate
from robust.commands.options.evaluate import parse_options
from robust.commands.train import RobustCLI
from robust.errors import ConfigError
from tests.support.tiny import ROOT, arguments

QUICK = ROOT / "configs/suites/quick.yaml"


def test_eps_is_a_number_or_a_fraction():
    options = parse_options(["run", "--eps", "8/255", "--norm", "L2"])
    assert (options.eps, options.norm, options.suite.stem) == (8 / 255, "L2", "quick")
    assert parse_options(["run", "--lipschitz"]).suite is None
    assert parse_options(["run", "--lipschitz", "--eps=0.1"]).suite.stem == "quick"


@pytest.mark.parametrize(
    "flags",
    [
        ["--eps=abc"],
        ["--eps"],
        ["--eps=true"],
        ["--eps=1/0"],
        ["--norm=L3"],
        ["--norm=linf"],
        ["--table=wang2018_table1", "--eps=0.1"],
        ["--table=wang2018_table1", "--norm=L2"],
    ],
)
def test_what_is_no_threat_model_is_one_line(flags, capsys):
    with pytest.raises((SystemExit, ConfigError)) as caught:
        parse_options(["run", *flags])
    said = capsys.readouterr().err
    if caught.type is SystemExit:
        assert caught.value.code == 2
        assert said.startswith("error: ")
        assert said.count("\n") == 1


def test_the_table_and_the_notes_say_it(trained, tmp_path, quiet, capsys):
    folder = tmp_path / "runs/standard/a"
    shutil.copytree(trained["standard"], folder)
    flags = [str(folder), "--limit=8", "--view", "deployed", "--attacks", "fgsm", "pgd"]
    assert evaluate([*flags, "--eps=0.5", "--norm=L2"]) == 0
    said = capsys.readouterr()
    assert "suite quick at L2 0.5" in said.out
    assert "note: left out, since they do not bound L2: fgsm." in said.err
    assert evaluate([*flags, "--eps=8"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Did you mean 8/255?" in said
    assert evaluate([*flags, "--eps=3", "--norm=L0"]) == 2
    assert "that bound L0, but got fgsm, pgd, which do not" in capsys.readouterr().err


def test_attacks_of_a_training_follow_its_threat_model(npz, tmp_path, quiet, monkeypatch):
    monkeypatch.setattr(RobustCLI, "_run_subcommand", lambda self, command: None)
    flags = [*arguments(npz, tmp_path, QUICK, "Standard"), "--evaluation.threat_model.eps=0.1"]
    made = RobustCLI(flags)
    suite = made.config_init["fit"]["evaluation"].suite
    assert {info.arguments["eps"] for info in suite.infos.values()} == {0.1}
    written = made.config["fit"]["evaluation"]["attacks"]["pgd"]["init_args"]
    assert "eps" not in written  # so that a config read back inherits again
