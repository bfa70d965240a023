"""The command `robust`: what it runs, and what it says of arguments that are wrong."""

import contextlib
import json
import os
import re
import subprocess
import sys

import pytest

import robust.attacks
import robust.networks
from robust.commands.main import HELP, main
from robust.commands.options import dashboard, early, measure, train
from robust.commands.options.evaluate import parse_options
from robust.commands.train import train as run_train
from robust.errors import ConfigError
from robust.tracking import Run
from tests.support.tiny import ROOT

WRONG = {
    "trian": r"'trian'\. Did you mean train\?.* dashboard, draw, evaluate",
    "train": "required: DEFENSE",
    "train squezed": r"'squezed'\. Did you mean squeezed\?",
    "train squezed.yaml": "no such file",
    "train squeezed --data digit": r"'digit'\. Did you mean digits\?",
    "train squeezed --suite quik": r"'quik'\. Did you mean quick\?",
    "train squeezed --epoch 3": r"'--epoch'\. Did you mean --epochs\?",
    "train squeezed --epochs many": "many",
    "train squeezed --limit -1": "--limit: expected at least 1, but got -1",
    "train squeezed --epochs -2": "expected at least -1",
    "train squeezed --seed -1": "expected at least 0",
    "completion fish": "bash, zsh",
    "completion zhs": r"Did you mean zsh\?",
    "sweep temperature --root ~nouser/x": "home folder of a user, but got ~nouser",
    "report nowhere -o ~nouser/x": "home folder of a user, but got ~nouser",
    "train squeezed --set temperature=3": "model.temperature=50",
    "train squeezed --set modle.temperature=3": "Did you mean model",
    "train squeezed --trainr.devices=1": "'--trainr.devices'",
    "fti": r"Did you mean fit\?",
    "train squeezed --config missing.yaml": "YAML file at missing.yaml, but there is no such file",
    "fit --config missing.yaml": "YAML file at missing.yaml, but there is no such file",
    "train squeezed digits": r"got 'digits' too\. Did you mean --data digits\?",
    "train squeezed quick": r"got 'quick' too\. Did you mean --suite quick\?",
    "train squeezed mine.yaml": r"Did you mean --data mine\.yaml\?",
    "evaluate . --eps 8": r"at most 1, since .* but got 8\. Did you mean 8/255\?",
    "evaluate . --eps=8 --suite zantedeschi2017_table1": r"Did you mean 8/255\?",
    "evaluate . --eps=8 --norm=Linf": r"Did you mean 8/255\?",
    "evaluate . --eps=-1 --norm=L2": "`eps` to be non-negative, but got -1",
    "train squeezed --suite=": "short name of suites or a path such as mine.yaml, but got ''",
    "train squeezed --data=": "short name of data or a path such as mine.yaml, but got ''",
    "evaluate . --suite=": "short name of suites or a path such as mine.yaml, but got ''",
    "evaluate . --table=": "short name of tables or a path such as mine.yaml, but got ''",
    "evaluate . --output ~nouser/x": "home folder of a user, but got ~nouser",
    "evaluate . --output=~nouser/x.md": "home folder of a user, but got ~nouser",
    "measure lipschitz . --output ~nouser/x": "home folder of a user, but got ~nouser",
    "fit --config squezed": r"'squezed'\. Did you mean squeezed\?",
    "fit --config=configs/squezed.yaml": "no such file",
    "fit -c squezed": "Did you mean squeezed",
    "fit --confg squeezed": r"'--confg'\. Did you mean --config\?",
    "test --config squeezed --ckpt_path nowhere.ckpt": "a checkpoint at nowhere.ckpt",
    "evaluate": "required: RUN",
    "evaluate .": r"a run in \., but it has no checkpoints/last\.ckpt",
    "measure lipschitz .": r"a run in \., but it has no checkpoints/last\.ckpt",
    "evaluate . --attacks pgdd": r"attacks of the suite \(fgsm, .*, but got 'pgdd'",
    "evaluate nowhere": "run folder or a checkpoint at nowhere",
    "evaluate . --suite quik": r"'quik'\. Did you mean quick\?",
    "evaluate . --suite quik.yaml": "YAML file at quik.yaml, but there is no such file",
    "evaluate . --table tuna2022_table": "Did you mean tuna2022_table",
    "evaluate . --sute quick": r"Did you mean --suite\?",
    "evaluate . --transfer-from nowhere": "at nowhere",
    "measure robustnes .": r"Did you mean robustness\?",
    "measure robustness . --sigma=1": "noise of certify",
    "measure certify . --sigma x": "--sigma to be a number such as 0.25 or 1/4, but got 'x'",
    "measure certify . --sigma=true": "--sigma to be a number such as 0.25 or 1/4, but got 'true'",
    "measure certify . --sigma": "--sigma to be a number such as 0.25 or 1/4, but got ''",
    "measure lipschitz . --suite=quick": "Expected no --suite with lipschitz",
    "measure certify . --eps 0.1": "Expected no --eps with certify",
    "measure attack_unit_test . --suites=quick": r"Did you mean --suite\?",
    "measure attack_unit_test . --suite quik": r"'quik'\. Did you mean quick\?",
    "measure attack_unit_test . --eps 8": r"Did you mean 8/255\?",
    "measure attack_unit_tst .": r"Did you mean attack_unit_test\?",
    "evaluate . --features=head --lipschitz": "unit test, which is not asked for",
    "evaluate . --features=head --evidence=none": "unit test, which is not asked for",
    "measure certify nowhere": "at nowhere",
    "draw progres .": r"Did you mean progress\?",
    "draw progress": "required: RUN",
    "draw progress . --limit=3": "Unknown flag '--limit'",
    "report": "required: FOLDER",
    "report nowhere --prt=3": r"Did you mean --port\?",
    "report nowhere": "nowhere",
    "sweep temprature": r"'temprature'\. Did you mean temperature\?",
    "sweep temprature.yaml": "no such file",
    "sweep temperature --worker=2": r"Did you mean --workers\?",
    "dashboard --projet=x": r"Did you mean --project\?",
    "list suits": r"'suits'\. Did you mean suites\?",
}
_PROBE = """
import contextlib, io, json, sys, time
from robust.commands.main import main
for line in json.loads(sys.argv[1]):
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        try:
            code = main(line.split())
        except SystemExit as end:
            code = end.code
    loaded = sorted({"torch", "lightning", "wandb"} & set(sys.modules))
    print(json.dumps([line, code, err.getvalue(), loaded, time.process_time()]))
"""


@pytest.fixture(scope="module")
def answers():
    """What a fresh process answers to each wrong line, and what it had to import for it."""
    command = [sys.executable, "-c", _PROBE, json.dumps(list(WRONG))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line: rest for line, *rest in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_said_before_torch_is_imported(answers, line):
    code, said, loaded, _ = answers[line]
    assert code == 2
    assert re.fullmatch(rf"error: .*{WRONG[line]}.*\n", said)
    assert len(said) <= 300
    assert loaded == []


@pytest.mark.parametrize(
    ("flags", "content"),
    [
        ([], "threat_model: {norm: L2, eps: 1}"),
        (["--norm=L0"], "threat_model: {norm: Linf, eps: 1}"),
        ([], "class_path: mine.Evaluation"),
        ([], "threat_model: [1]"),
        ([], "- 1"),
        ([], "a: [b"),
    ],
)
def test_a_large_eps_waits_where_its_norm_is_not_known_to_be_linf(flags, content, tmp_path):
    suite = tmp_path / "mine.yaml"
    suite.write_text(content)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    early.check("evaluate", [str(tmp_path), "--eps=8", f"--suite={suite}", *flags])


def test_it_is_said_soon(answers):
    first = min(seconds for *_, seconds in answers.values())
    assert first < 1.5


def ended(words, capsys):
    """What a command prints that ends with 0."""
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code
    assert code == 0
    return capsys.readouterr().out


SCREENS = [
    "evaluate",
    "train",
    "measure",
    "draw",
    "report",
    "sweep",
    "reproduce",
    "dashboard",
    "card",
    "verify",
]


@pytest.mark.parametrize("words", [[], *([name] for name in [*SCREENS, "list", "completion"])])
def test_help_fits_a_screen(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = ended([*words, "--help"], capsys).splitlines()
    assert lines[0].startswith(f"usage: {' '.join(['robust', *words])}")
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 84


def test_help_of_evaluate_in_full(capsys):
    helps = [ended(["evaluate", flag], capsys) for flag in ("--help", "--help-all")]
    short, full = (" ".join(text.split()) for text in helps)
    assert "patterns such as 'bim_*'" not in short
    assert "patterns such as 'bim_*'" in full


def test_the_help_names_every_command(capsys):
    with pytest.raises(AssertionError):
        ended(["nothing"], capsys)
    named = re.search(r"Expected one of (.*)\.", capsys.readouterr().err)
    assert set(named[1].split(", ")) <= set(re.findall(r"\w+", HELP))
    assert len(re.findall(r"^  robust ", HELP, re.MULTILINE)) == 3
    assert ended([], capsys) == ended(["-h"], capsys) == HELP


def test_version(capsys):
    assert re.fullmatch(r"robust-defenses \S+\n", ended(["--version"], capsys))


@pytest.mark.parametrize("kind", ["defenses", "suites", "data", "tables", "networks", "sweeps"])
def test_lists(kind, capsys):
    lines = ended(["list", kind], capsys).splitlines()
    assert len(lines) >= 4
    assert all(re.fullmatch(r"[\w.]+ +\S.*[.?]", line) for line in lines)


def test_the_list_of_attacks_is_of_those_that_can_be_named(capsys):
    lines = ended(["list", "attacks"], capsys).splitlines()
    listed = {line.split()[0] for line in lines if line.startswith("robust.")}
    public = {name: getattr(robust.attacks, name) for name in robust.attacks.__all__}
    ours = {
        f"robust.attacks.{name}"
        for name, kind in public.items()
        if isinstance(kind, type) and issubclass(kind, robust.attacks.Attack)
    }
    assert listed == ours - {"robust.attacks.Attack"}
    assert lines[-1].startswith("torchattacks.")


def test_the_list_of_networks(capsys):
    listed = {line.split()[0] for line in ended(["list", "networks"], capsys).splitlines()}
    assert {f"robust.networks.{name}" for name in robust.networks.__all__} - listed == {
        "robust.networks.BReLU",
        "robust.networks.Normalize",
    }


def test_a_training_in_short():
    line = "squeezed --data fashion_mnist --trainer.precision bf16-mixed --epochs 2 --trust mine "
    line += "--set model.temperature=50 data.batch_size=8 --set run.name=x"
    words = train.translated(line.split())
    assert words[0] == "fit"
    assert re.fullmatch(r"--config=.*configs/squeezed\.yaml", words[1])
    assert words[2:] == [
        "--data=fashion_mnist",
        "--trainer.max_epochs=2",
        "--trust=mine",
        "--trainer.precision=bf16-mixed",
        "--model.temperature=50",
        "--data.batch_size=8",
        "--run.name=x",
    ]
    assert re.fullmatch(r"--data=.*configs/data/fashion_mnist\.yaml", train.with_paths(words)[2])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("robustness a --limit=5", ["a", "--limit=5", "--robustness"]),
        ("certify a", ["a", "--certify=0.25"]),
        ("certify a --sigma 1/2", ["a", "--certify", "1/2"]),
        ("lipschitz a b --model.head=x", ["a", "b", "--model.head=x", "--lipschitz"]),
        ("attack_unit_test a", ["a", "--attack-unit-test=quick"]),
        ("attack_unit_test a --suite b", ["a", "--attack-unit-test", "b"]),
        ("attack_unit_test a --suite=b --eps=1", ["a", "--attack-unit-test=b", "--eps=1"]),
    ],
)
def test_a_measure_in_short(line, words):
    assert measure.translated(line.split()) == words


@pytest.mark.parametrize(
    "word", ["ImageDataModule", "robust.data.ImageDataModule", "{a: 1}", "null"]
)
def test_what_is_no_name_of_data_stays(word):
    assert train.with_paths(["fit", f"--data={word}"]) == ["fit", f"--data={word}"]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("command", train.SUBCOMMANDS)
def test_every_flag_of_train_is_known(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        run_train([command, "--help"])
    flags = set(re.findall(r"(?<![\w`'-])--\w[\w.]*", capsys.readouterr().out))
    assert {"--config", "--model", "--trainer.max_epochs"} <= flags
    assert [flag for flag in flags if not train.is_flag(flag)] == []


@pytest.mark.parametrize(("line", "short"), [("train squeezed", True), ("fit -c squeezed", False)])
def test_how_to_go_on_is_said_in_flags_of_the_command(line, short, monkeypatch):
    asked = []
    monkeypatch.setattr("robust.commands.main.run", lambda *_, **said: asked.append(said) or 0)
    assert main(line.split()) == 0
    assert asked == [{"short": short}]


@pytest.mark.parametrize("line", ["list tables", "--help", "list attacks"])
def test_what_nobody_reads(line):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as pipe, contextlib.redirect_stdout(pipe):
        assert main(line.split()) == 141


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("train squeezed --epochs=2", r"fit --config=\S*squeezed\.yaml --trainer\.max_epochs=2"),
        ("fit --config squeezed", "fit --config squeezed"),
        ("measure lipschitz a", "measure lipschitz a"),
    ],
)
def test_a_process_that_lightning_starts_is_asked_for_the_same(line, program, monkeypatch):
    """It runs this program with the arguments of this process."""
    monkeypatch.setattr(sys, "argv", ["robust", *line.split()])
    monkeypatch.setattr("robust.commands.main.begin", lambda: None)
    monkeypatch.setattr("robust.commands.main.run", lambda *_, **__: 0)
    assert main() == 0
    assert re.fullmatch(program, " ".join(sys.argv[1:]))
    assert main() == 0  # as the other process does


def test_the_examples_of_the_help_and_the_page_are_right():
    page = (ROOT / "docs" / "commands.md").read_text()
    lines = re.findall(
        r"^ *robust (train|fit|evaluate) (.*[^.\n])$", page + HELP + train.EPILOG, re.M
    )
    assert len(lines) >= 8
    for command, rest in lines:
        words = rest.split()
        if command == "evaluate":
            assert parse_options(words).suite is not None or parse_options(words).table
        else:
            train.check(train.translated(words) if command == "train" else ["fit", *words])


def test_the_project_of_the_dashboard_is_that_of_a_run():
    assert Run().project == dashboard.PROJECT


def test_a_check_has_a_message_of_its_own():
    with pytest.raises(ConfigError, match="fit, validate, test, but got 'fitt'"):
        train.check(["fitt"])


@pytest.mark.usefixtures("quiet", "blank_figures")
def test_train_evaluate_measure_and_report(npz, suite, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(
        "model: {class_path: robust.defenses.Squeezed, init_args: "
        "{network: tests.support.tiny.TinyNetwork}}\n"
        f"data: {{class_path: robust.data.ImageDataModule, init_args: {{dataset: {npz}}}}}\n"
        f"evaluation: {suite}\n"
    )
    words = ["train", "mine.yaml", "--epochs=1", "--id=a", "--limit=8", "--accelerator=cpu"]
    words += ["--set", "model.temperature=3", "--trainer.enable_progress_bar=false"]
    assert "mine/a" in ended(words, capsys)
    assert "temperature: 3" in (tmp_path / "runs/mine/a/config.yaml").read_text()
    assert "suite tiny" in ended(
        ["evaluate", "runs/mine/a", f"--suite={suite}", "--limit=4"], capsys
    )
    assert "Operator norms" in ended(["measure", "lipschitz", "runs/mine/a"], capsys)
    ended(["draw", "progress", "runs/mine/a"], capsys)
    assert list((tmp_path / "runs/mine/a/figures").glob("progress*"))
    ended(["report", "runs", "-o", "page.html"], capsys)
    assert (tmp_path / "page.html").stat().st_size > 1000
