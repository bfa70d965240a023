"""Names are checked before anything starts, and print as they are."""

import json
import os
from pathlib import Path

import pytest
import yaml

from robust.commands.evaluate import evaluate
from robust.commands.train import train
from robust.errors import ConfigError
from robust.evaluation.flat import evaluation_of
from robust.evaluation.suite import Suite
from robust.io.names import check_name, file_name
from robust.io.strict_yaml import load
from robust.loading.paper_tables import read_table
from robust.loading.suites import read_suite
from robust.results.cells import Grid
from robust.sweep.file import SweepFile
from robust.threat import ThreatModel
from robust.tracking import Run
from tests.commands.test_bad_input import code_of
from tests.support.tiny import SUITE, arguments

ODD = ["", " a", "a ", "a\nb", "a\x1b[31m", "a\u202eb", "a\u200bb", "\ufeffa", "x" * 101, "a\x00"]
NO_TEXT = [5, 1000.0, True, None, ["a"], {"a": 1}]
NO_FILE = ["a/b", "a\\b", ".", "..", "-x", "/", "é" * 80]
FINE = ["[z]", "[bold]pgd", "s [x]*", "é", "a b", "$(x)", "x" * 100, "*", ":smile:", "|"]
ATTACKS = [*FINE, "[/z]", "a/../b"]


@pytest.mark.parametrize("name", [*ODD, *NO_TEXT], ids=ascii)
def test_what_is_no_name(name):
    with pytest.raises(ConfigError, match="Expected it to be a name, but got") as error:
        check_name("it", name)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("name", NO_FILE)
def test_what_no_file_is_called(name):
    check_name("it", name)
    with pytest.raises(ConfigError, match="Expected it to be a name, but got"):
        check_name("it", name, is_file=True)


@pytest.mark.parametrize("name", FINE)
def test_names(name, tmp_path):
    check_name("it", name, is_file=True)
    (tmp_path / f"{name}-01234567.part12.csv").touch()


def test_a_locale_without_the_letters(monkeypatch):
    def refuse(name):
        raise UnicodeEncodeError("ascii", name, 0, 1, "ordinal not in range(128)")

    monkeypatch.setattr(os, "fsencode", refuse)
    with pytest.raises(ConfigError, match=r"'\\xe9', which no file .*LC_ALL=C.UTF-8"):
        check_name("it", "é", is_file=True)


def test_names_as_parts_of_files():
    assert file_name("pgd_0.1 [x]") == "pgd_0.1 [x]"
    assert file_name("a/b\\c%") == "a%2Fb%5Cc%25"
    assert file_name("..") == "%2E%2E"
    long = [file_name("é" * 90 + end) for end in "ab"]
    assert all(len(name.encode()) <= 80 for name in long)
    assert long[0] != long[1]


def written(tmp_path, **changed):
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(SUITE), **changed}))
    return path


FGSM = {"class_path": "torchattacks.FGSM", "init_args": {"eps": 0.3}}
PGD = {"class_path": "torchattacks.PGD"}
SUITES = {
    "no attacks": ({"attacks": {}}, "attacks"),
    "null attacks": ({"attacks": None}, "attacks"),
    "a list of attacks": ({"attacks": ["pgd"]}, "attacks"),
    "a word for attacks": ({"attacks": "pgd"}, "attacks"),
    "block null": ({"block": None}, "`?evaluation.block"),
    "block 0": ({"block": 0}, "`block` to be at least 1"),
    "limit 0": ({"limit": 0}, "`limit` to be at least 1"),
    "limit text": ({"limit": "many"}, "limit"),
    "long number": ({"limit": "9" * 5000}, "limit"),
    "views null": ({"views": None}, "views"),
    "targets list": ({"targets": [1]}, "targets"),
    "threat model text": ({"threat_model": "Linf"}, "Linf"),
    "threat model null": ({"threat_model": None}, "threat_model"),
    "eps null": (
        {"attacks": {"p": {**FGSM, "init_args": {"eps": None}}}},
        "value for `eps`, but got null",
    ),
    "steps null": (
        {
            "attacks": {
                "p": {"class_path": "torchattacks.PGD", "init_args": {"eps": 0.3, "steps": None}}
            }
        },
        "value for `steps`, but got null",
    ),
    "half a step": (
        {
            "attacks": {
                "p": {"class_path": "torchattacks.PGD", "init_args": {"eps": 0.3, "steps": 2.5}}
            }
        },
        "`steps` of attack `p` to be an integer",
    ),
    "eps 8": ({"threat_model": {"norm": "Linf", "eps": 8}}, "8/255?"),
    "unknown key": ({"atacks": 5}, "atacks"),
    "attack of a number": ({"attacks": {5: FGSM}}, "5, which is no text"),
    "attack of null": ({"attacks": {None: FGSM}}, "null, which is no text"),
    "attack of a truth": ({"attacks": {True: FGSM}}, "true, which is no text"),
    "attack with a bell": ({"attacks": {"a\x07": FGSM}}, "does not print"),
    "long attack": ({"attacks": {"a" * 101: FGSM}}, "101 characters"),
    "bounds": ({"attacks": {"a": FGSM, "a_low": FGSM}}, "'a_low', because the bounds of 'a'"),
    "attack is null": ({"attacks": {"a": None}}, "attacks"),
    "suite of a number": ({"suite": 5}, "suite"),
    "suite null": ({"suite": None}, "suite"),
    "suite list": ({"suite": ["a"]}, "suite"),
    "long suite": ({"suite": "n" * 500}, "500 characters"),
    "slash": ({"suite": "linf/quick"}, "leave out '/'"),
}


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("case", SUITES)
def test_suites_that_are_none(tmp_path, case):
    changed, message = SUITES[case]
    path = written(tmp_path, **changed)
    with pytest.raises(ConfigError) as error:
        read_suite(path)
    assert_told(str(error.value), message)


# Of a training null attacks are no attacks.
TRAINED = [case for case in SUITES if case != "null attacks"]


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=[pytest.mark.slow] if i % 3 else []) for i, c in enumerate(TRAINED)],
)
def test_suites_that_no_training_takes(tmp_path, capsys, quiet, npz, case):
    changed, message = SUITES[case]
    path = written(tmp_path, **changed)
    args = [*arguments(npz, tmp_path / "runs", path), "--trainer.logger=false"]
    assert code_of(train, args) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert len(told[0]) <= 300
    assert_told(told[0], message)
    assert not (tmp_path / "runs").exists()


def assert_told(line, message):
    assert "\n" not in line
    assert message.strip("`?").split("`?")[0] in line.replace("`", "") or message in line, line


def test_an_exact_name_wins_over_a_pattern(tmp_path):
    path = written(tmp_path, attacks={"[z]": FGSM, "z": FGSM, "pgd_1": FGSM, "pgd_2": FGSM})
    assert list(read_suite(path, ["[z]"]).attacks) == ["[z]"]
    assert list(read_suite(path, ["pgd_*", "z"]).attacks) == ["pgd_1", "pgd_2", "z"]


@pytest.mark.parametrize("eps", [1.001, 2.0, 8.0, 255.0])
def test_eps_of_bytes(eps):
    with pytest.raises(
        ConfigError, match=rf"at most 1, .* got {eps:g}. Did you mean {eps:g}/255\?"
    ):
        ThreatModel("Linf", eps)
    for norm in ("L2", "L0"):
        ThreatModel(norm, eps)  # more than an image has room for: as good as none
    ThreatModel("Linf", 1.0)
    ThreatModel("Linf", float("inf"))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    "args",
    [
        [
            "--model=robust.defenses.Trades",
            "--model.network=tests.support.tiny.TinyNetwork",
            "--model.eps=8",
        ],
        [
            "--model=robust.defenses.AdversarialTraining",
            "--model.network=tests.support.tiny.TinyNetwork",
            "--model.attack=torchattacks.PGD",
            "--model.attack.init_args.eps=8",
        ],
        [
            "--model=robust.defenses.AdversarialTraining",
            "--model.network=tests.support.tiny.TinyNetwork",
            "--model.attack=robust.attacks.PGD",
            "--model.attack.init_args.eps=8",
        ],
        ["--evaluation.attacks.fgsm.init_args.eps=8", "--evaluation.threat_model.eps=8"],
    ],
)
def test_eps_of_bytes_in_flags(args, npz, suite, tmp_path, capsys, quiet):
    given = [*arguments(npz, tmp_path / "runs", suite), "--trainer.logger=false", *args]
    assert code_of(train, given) == 2
    assert "Did you mean 8/255?" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("key", ["name", "id", "project"])
@pytest.mark.parametrize(
    "name", [name for name in (*ODD, *NO_FILE) if name != "\ufeffa"], ids=ascii
)
def test_runs(key, name):
    with pytest.raises(ConfigError, match=f"`run.{key}` to be a name"):
        Run(**{key: name})


@pytest.mark.parametrize("name", [name for name in ODD if name], ids=ascii)
def test_groups_and_tags(name):
    with pytest.raises(ConfigError, match=r"`run.group` and each of `run.tags`"):
        Run(group=name)
    with pytest.raises(ConfigError, match=r"`run.group` and each of `run.tags`"):
        Run(tags=["fine", name])
    with pytest.raises(ConfigError, match="at most 64"):
        Run(tags=["x" * 65])


SWEEP = {
    "program": "train.py",
    "method": "grid",
    "metric": {"name": "val/clean_acc", "goal": "maximize"},
    "parameters": {"a": {"values": [1]}},
}


@pytest.mark.parametrize("name", ["a/b", "..", "a\nb", "x" * 101, 5, True, None], ids=ascii)
def test_sweeps(tmp_path, name):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, "name": name}))
    with pytest.raises(ConfigError, match="name"):
        SweepFile.read(path)


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (None, "--a=null"),
        (True, "--a=True"),
        (-0.5, "--a=-0.5"),
        (float("inf"), "--a=.inf"),
        ("word", "--a=word"),
        ([1, None], "--a=[1, null]"),
        ({"hidden": 8, "b": None, "c": "1e5"}, "--a={hidden: 8, b: null, c: '1e5'}"),
    ],
)
def test_values_of_a_sweep_arrive_as_they_are(tmp_path, value, flag):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, "command": ["${program}", "${args}"]}))
    command = SweepFile.read(path).command({"a": value})
    assert command[-1] == flag
    assert load(flag.removeprefix("--a=")) == value
    path.write_text(yaml.safe_dump({**SWEEP, "command": ["${args_json}"]}))
    assert json.loads(SweepFile.read(path).command({"a": value})[-1]) == {"a": value}


TABLE = {
    "title": "T",
    "metric": "attack success",
    "suite": "suite.yaml",
    "clean_acc": {"one": 1.0},
    "columns": {"one": {"class_path": "robust.defenses.Squeezed"}},
    "rows": {"FGSM": {"attack": "fgsm", "published": {"one": None}}},
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clean_acc": None}, "`clean_acc`"),
        ({"clean_acc": {"one": "many"}}, "numbers, or null .* got 'many' for 'one'"),
        ({"clean_acc": {"one": True}}, "numbers, or null"),
        ({"clean_acc": {"one": float("nan")}}, "numbers, or null"),
        ({"rows": {"a": {"attack": "fgsm", "published": None}}}, "`published` of row 'a'"),
        ({"rows": {"a": {"attack": "fgsm", "published": {"one": "x" * 500}}}}, "numbers, or null"),
        ({"rows": {"a": {"attack": None, "published": {"one": 1}}}}, "but got null"),
        ({"rows": {"a": {"attack": ["b"], "published": {"one": 1}}}}, "but got a list"),
        ({"rows": {5: {"attack": "fgsm", "published": {"one": 1}}}}, "5, which is no text"),
        ({"rows": None}, "`rows`"),
        ({"columns": {"one": None}}, "column 'one'"),
        ({"columns": {"one": {"class_path": None}}}, "class"),
        ({"title": None}, "`title`"),
        ({"title": "a\x1b"}, "does not print"),
        ({"suite": 5}, "`suite`"),
        ({"suite": "nowhere.yaml"}, "nowhere.yaml"),
        ({"metric": ["a"]}, "`metric`"),
        ({"view": 5}, "`view`"),
        ({"draw": 0}, "`draw`"),
        ({"draw": "x"}, "`draw`"),
        ({"rows": {"a": {"attack": "fgsm", "adaptive": 5, "published": {"one": 1}}}}, "`adaptive`"),
    ],
)
def test_tables_that_are_none(tmp_path, changed, message):
    written(tmp_path)
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump({**TABLE, **changed}))
    with pytest.raises(ConfigError, match=message) as error:
        read_table(path)
    assert "\n" not in str(error.value)


def test_a_table_with_null_is_one(tmp_path):
    written(tmp_path)
    (tmp_path / "table.yaml").write_text(yaml.safe_dump({**TABLE, "clean_acc": {"one": None}}))
    assert read_table(tmp_path / "table.yaml")["rows"]["FGSM"]["published"] == {"one": None}


def test_a_table_prints_names_as_they_are(capsys):
    grid = Grid("[b]T", ["run", *ATTACKS], [["net [a]", *ATTACKS]], ["[red]note :smile: |"])
    grid.print()
    printed = capsys.readouterr().out
    for text in (*ATTACKS, "[b]T", "net [a]", "[red]note :smile: |"):
        assert text in printed
    assert r"\|" in grid.markdown()
    assert "| \\* |" in grid.markdown()
    assert "<" not in Grid("", ["<b>"], [["<i>"]]).markdown()


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("called", "attacks"),
    [("s [x]*", ("[bold]pgd", "[/z]", "a/../b c")), ("{a,b}?", ("*", "|", "é"))],
)
def test_odd_names_from_attack_to_table(called, attacks, trained, tmp_path, quiet, capsys):
    run = tmp_path / "runs" / "net [a]" / "a"
    run.mkdir(parents=True)
    os.symlink(trained["standard"] / "checkpoints", run / "checkpoints")
    path = written(tmp_path, suite=called, attacks=dict.fromkeys(attacks, FGSM))
    output = tmp_path / "out.md"
    args = [str(run), "--suite", str(path), "--limit", "9", "--output", str(output)]
    assert evaluate([*args, "--view", "deployed"]) == 0
    printed = capsys.readouterr().out
    for text in (called, *attacks, "net [a]"):
        assert text in printed
    names = sorted(file.suffix for file in (run / "records").iterdir() if file.name[0] != ".")
    assert names == [".csv", ".json", ".kept", ".png"]
    assert output.read_text(encoding="utf-8").count("\n") > 3
    assert evaluate([*args, "--attacks", attacks[0]]) == 0
    assert Path(args[0]).is_dir()


def test_a_suite_in_python_is_checked(quiet):
    with pytest.raises(ConfigError, match="suite"):
        Suite("a/b")
    with pytest.raises(ConfigError, match="at least one of `attacks`"):
        evaluation_of("a", {})
