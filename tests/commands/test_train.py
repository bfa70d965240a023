import csv
import io
import shutil
from contextlib import redirect_stdout

import pytest
import torch
import yaml

import robust.commands.train
from robust.commands.evaluate import evaluate
from robust.commands.train import RobustCLI, train
from robust.results.records import read_evaluation
from robust.tracking import BestCheckpoint
from tests.support.tiny import NO_ATTACKS, ROOT, arguments

pytestmark = pytest.mark.usefixtures("quiet")
CONFIGS = ROOT / "configs"


def parsed(*args):
    """The config that `fit` would run with."""
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as stop:
        train(["fit", f"--config={CONFIGS / 'squeezed.yaml'}", *args, "--print_config"])
    assert stop.value.code == 0
    return yaml.safe_load(printed.getvalue())


def at(config, path):
    for key in path.split("."):
        config = config[key]
    return config


EPS_OF_PGD = "evaluation.attacks.pgd.init_args.eps"
TOGETHER = [
    {
        ("--model.temperature=50",): ("model.init_args.temperature", 50),
        ("--data", f"{CONFIGS}/data/cifar10.yaml"): ("data.init_args.dataset", "cifar10"),
        ("--evaluation.limit=7",): ("evaluation.limit", 7),
    },
    {
        ("--model.init_args.temperature=50",): ("model.init_args.temperature", 50),
        ("--data.dataset=./1/2",): ("data.init_args.dataset", "./1/2"),
        ("--data.root=/1/2",): ("data.init_args.root", "/1/2"),
        ("--evaluation.limit=null",): ("evaluation.limit", None),
    },
    {
        ("--model={'init_args': {'temperature': 20.5}}",): ("model.init_args.temperature", 20.5),
        ("--data.root=a-1/2",): ("data.init_args.root", "a-1/2"),
        (f"--{EPS_OF_PGD}=16/255",): (EPS_OF_PGD, 16 / 255),
        ("--evaluation.threat_model.eps=16/255",): ("evaluation.threat_model.eps", 16 / 255),
    },
    {
        ("--model.temperature=1/3",): ("model.init_args.temperature", 1 / 3),
        ("--model.optimizer=torch.optim.SGD",): ("model.init_args.optimizer.init_args.lr", 0.001),
        ("--evaluation.threat_model.eps=16/255",): ("evaluation.threat_model.eps", 16 / 255),
    },
    {
        ("--model.temperature", "1/4"): ("model.init_args.temperature", 1 / 4),
        ("--evaluation.targets={'pgd': 3}",): ("evaluation.targets.pgd", 3),
    },
    {
        ("--model.transform=robust.transforms.TotalVariation", "--model.transform.seed=null"): (
            "model.init_args.transform.init_args.seed",
            None,
        ),
        ("--model.transform.drop=1/4",): ("model.init_args.transform.init_args.drop", 1 / 4),
    },
]


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("flags", TOGETHER)
def test_flags_reach_the_config(flags):
    config = parsed(*(word for words in flags for word in words))
    assert {path: at(config, path) for path, _ in flags.values()} == dict(flags.values())


def test_fractions_in_files_are_numbers(tmp_path):
    file = tmp_path / "suite.yaml"
    file.write_text(
        "suite: s\nthreat_model: {eps: 8/255}\n"
        "attacks: {a: {class_path: torchattacks.FGSM, init_args: {eps: 8/255}}}"
    )
    evaluation = parsed(f"--evaluation={file}")["evaluation"]
    assert evaluation["threat_model"]["eps"] == 8 / 255
    assert evaluation["attacks"]["a"]["init_args"]["eps"] == 8 / 255


def test_a_suite_is_replaced_completely():
    file = CONFIGS / "suites" / "strong_mnist.yaml"
    evaluation = parsed("--evaluation.limit=7", f"--evaluation={file}")["evaluation"]
    assert set(evaluation["attacks"]) == set(yaml.safe_load(file.read_text())["attacks"])
    assert evaluation["suite"] == "strong_mnist"


def test_fit_tests_prints_and_keeps_everything(npz, suite, tmp_path, capsys):
    runs = tmp_path / "runs"
    assert train([*arguments(npz, runs, suite, epochs=3), "--run.id=a"]) == 0
    printed = capsys.readouterr().out
    folder = runs / "squeezed" / "a"
    assert printed.count("Attack success") == 1
    assert f"Files of this run: {folder}" in printed
    with (folder / "metrics.csv").open() as file:
        keys = set(next(csv.reader(file)))
    assert {"train/loss", "val/clean_acc", "test/clean_acc", "test/robust_acc/adaptive/pgd"} <= keys
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 3 * 4
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["data"]["init_args"]["dataset"] == str(npz)
    (records,) = (folder / "records").glob("*.csv")
    assert len(read_evaluation(records).rows) == 30 * 3 * 2


def test_a_run_that_keeps_its_best_network_is_judged_by_it(npz, suite, tmp_path, capsys):
    """By the largest loss here, which is that of the first epoch, so that best and last differ."""
    runs, folder = tmp_path / "runs", tmp_path / "runs" / "squeezed" / "a"
    best, last = (folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    keep = "{class_path: robust.tracking.BestCheckpoint, init_args: {monitor: val/loss, mode: max}}"
    args = [*arguments(npz, runs, suite, epochs=3), f"--trainer.callbacks+={keep}"]
    assert train([*args, "--run.id=a"]) == 0
    assert "Tested: best.ckpt, of the best val/loss (" in capsys.readouterr().out
    assert train([*args, f"--ckpt_path={last}", "--trainer.max_epochs=4"]) == 0
    epochs = [torch.load(path, weights_only=True)["epoch"] for path in (best, last)]
    assert epochs == [0, 3]

    def records():
        return len(list((folder / "records").glob("*.csv")))

    assert records() == 1
    assert evaluate([str(folder), f"--suite={suite}"]) == 0
    assert records() == 1  # nothing was attacked: the test had been of that network
    assert evaluate([str(last), f"--suite={suite}"]) == 0
    assert records() == 2


def test_the_best_of_every_other_epoch(npz, suite, tmp_path):
    keep = "--trainer.callbacks+=robust.tracking.BestCheckpoint"
    args = [*arguments(npz, tmp_path / "runs", suite), keep, "--run.id=a", NO_ATTACKS]
    assert train([*args, "--trainer.check_val_every_n_epoch=2"]) == 0
    best = tmp_path / "runs" / "squeezed" / "a" / "checkpoints" / "best.ckpt"
    assert torch.load(best, weights_only=True)["epoch"] == 1


def best_of(folder):
    """The epoch that `BestCheckpoint` has kept, and its score."""
    checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    (state,) = (s for key, s in checkpoint["callbacks"].items() if "BestCheckpoint" in key)
    return checkpoint["epoch"], float(state["best_model_score"])


KEEP = "--trainer.callbacks+=robust.tracking.BestCheckpoint"
KEEP_LARGEST = (
    "--trainer.callbacks+="
    "{class_path: robust.tracking.BestCheckpoint, init_args: {monitor: val/loss, mode: max}}"
)


def test_the_best_is_remembered_where_its_folder_is_named_otherwise(
    npz, suite, tmp_path, monkeypatch
):
    runs = tmp_path / "runs"
    assert train([*arguments(npz, runs, suite), KEEP_LARGEST, NO_ATTACKS, "--run.id=a"]) == 0
    best = best_of(runs / "squeezed" / "a")
    monkeypatch.chdir(tmp_path)
    runs.rename(tmp_path / "moved")
    last = "moved/squeezed/a/checkpoints/last.ckpt"
    args = [*arguments(npz, "moved", suite, epochs=4), KEEP_LARGEST, f"--ckpt_path={last}"]
    assert train([*args, NO_ATTACKS]) == 0
    assert best_of(tmp_path / "moved" / "squeezed" / "a") == best
    assert best[0] == 0


def test_a_best_network_without_a_score_is_not_resumed(tmp_path):
    keep = BestCheckpoint()
    keep.dirpath = str(tmp_path)
    (tmp_path / "best.ckpt").touch()
    keep.load_state_dict(keep.state_dict())
    assert keep.best_model_path == ""
    assert keep.best_k_models == {}


def test_a_new_training_in_a_folder_sets_the_checkpoints_of_the_earlier_aside(npz, suite, tmp_path):
    args = [*arguments(npz, tmp_path / "runs", suite, epochs=1), NO_ATTACKS, "--run.id=a"]
    folder = tmp_path / "runs" / "squeezed" / "a"
    last = folder / "checkpoints" / "last.ckpt"

    def names(kept="checkpoints"):
        return sorted(path.name for path in (folder / kept).iterdir())

    assert train([*args, KEEP_LARGEST]) == 0
    assert train([*args, "--seed_everything=1"]) == 0
    assert (names(), names("checkpoints.1")) == (["last.ckpt"], ["best.ckpt", "last.ckpt"])
    # One that goes on without keeping the best would leave the best of half a training.
    assert train([*args, KEEP_LARGEST, f"--ckpt_path={last}", "--trainer.max_epochs=2"]) == 0
    assert names() == ["best.ckpt", "last.ckpt"]
    with pytest.warns(UserWarning, match="callbacks used to create the checkpoint .*BestCheck"):
        assert train([*args, f"--ckpt_path={last}", "--trainer.max_epochs=3"]) == 0
    assert names() == ["best.1.ckpt", "last.ckpt"]
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    last = tmp_path / "link" / "squeezed" / "a" / "checkpoints" / "last.ckpt"
    assert train([*args, f"--ckpt_path={last}", "--trainer.max_epochs=4"]) == 0
    assert names() == ["best.1.ckpt", "last.ckpt"]


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("flags", "epoch"),
    [
        (
            [
                "--trainer.callbacks.monitor=val/worst_robust_acc/adaptive",
                "--evaluation.every_n_epochs=2",
                "--evaluation.val_limit=3",
            ],
            1,
        ),
        (
            [
                "--trainer.check_val_every_n_epoch=null",
                "--trainer.val_check_interval=6",
                NO_ATTACKS,
            ],
            1,
        ),
        (["--trainer.max_steps=2", NO_ATTACKS], None),
    ],
    ids=["now and then", "by steps", "no epoch"],
)
def test_the_best_by_what_is_logged_at_other_times(npz, suite, tmp_path, flags, epoch):
    args = [*arguments(npz, tmp_path / "runs", suite), KEEP, "--run.id=a", *flags]
    assert train(args) == 0
    folder = tmp_path / "runs" / "squeezed" / "a"
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    if epoch is None:
        assert not (folder / "checkpoints" / "best.ckpt").exists()
    else:
        assert best_of(folder)[0] == epoch


def test_the_best_of_a_distillation_is_no_teacher(npz, suite, tmp_path):
    args = arguments(npz, tmp_path / "runs", suite, defense="Distillation", epochs=4)
    assert train([*args, KEEP_LARGEST, NO_ATTACKS, "--run.id=a"]) == 0
    assert best_of(tmp_path / "runs" / "distillation" / "a")[0] >= 2


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--trainer.callbacks.monitor=val/acc", "Expected validation to log val/acc"),
        ("--data.val_fraction=0", "Expected images for the validation"),
    ],
)
def test_a_best_network_by_what_nobody_measures(npz, suite, tmp_path, capsys, flag, message):
    assert train([*arguments(npz, tmp_path / "runs", suite), KEEP, flag]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") <= 2


def test_what_is_never_logged_is_said_at_the_end(npz, suite, tmp_path, capsys):
    args = [*arguments(npz, tmp_path / "runs", suite), KEEP, "--evaluation.every_n_epochs=2"]
    args += ["--trainer.callbacks.monitor=val/acc", "--evaluation.val_limit=3", "--run.id=a"]
    assert train(args) == 2
    assert "Expected validation to log val/acc" in capsys.readouterr().err
    assert (tmp_path / "runs" / "squeezed" / "a" / "checkpoints" / "last.ckpt").is_file()


def test_a_folder_is_no_checkpoint(trained, npz, suite, tmp_path, capsys):
    args = arguments(npz, tmp_path / "runs", suite, command="test")
    assert train([*args, f"--ckpt_path={trained['squeezed']}"]) == 2
    assert "checkpoints/last.ckpt" in capsys.readouterr().err


def test_the_config_of_a_run_runs_again(npz, suite, tmp_path):
    runs = tmp_path / "runs"
    assert train([*arguments(npz, runs, suite, epochs=1), NO_ATTACKS, "--run.id=a"]) == 0
    config = runs / "squeezed" / "a" / "config.yaml"
    assert train(["fit", f"--config={config}", "--run.id=b"]) == 0
    first, again = (
        torch.load(runs / "squeezed" / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in "ab"
    )
    torch.testing.assert_close(first["state_dict"], again["state_dict"], rtol=0, atol=0)


@pytest.mark.parametrize("flag", ["--trainer.logger=false", "--trainer.fast_dev_run=1"])
def test_fit_without_loggers(npz, suite, tmp_path, flag, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train([*arguments(npz, tmp_path / "runs", suite), flag]) == 0
    assert not list(tmp_path.glob("**/metrics*.csv"))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("command", ["validate", "test"])
def test_commands_take_a_checkpoint(trained, npz, suite, tmp_path, command, capsys):
    args = arguments(npz, tmp_path / "runs", suite, command=command)
    checkpoint = trained["squeezed"] / "checkpoints" / "last.ckpt"
    args += [f"--ckpt_path={checkpoint}", "--run.id=b"]
    assert train(args) == 0
    assert (tmp_path / "runs" / "squeezed" / "b" / "metrics.csv").is_file()
    assert capsys.readouterr().out.count("Attack success") == (command == "test")


@pytest.mark.parametrize("command", ["fit", "test"])
def test_no_checkpoint_is_unpickled_as_code(trained, npz, suite, tmp_path, command, monkeypatch):
    load, told = torch.load, []

    def spy(*args, **kwargs):
        told.append(kwargs.get("weights_only"))
        return load(*args, **kwargs)

    monkeypatch.setattr(torch, "load", spy)
    checkpoint = trained["squeezed"] / "checkpoints" / "last.ckpt"
    args = arguments(npz, tmp_path / "runs", suite, command=command, epochs=7)
    args.append(NO_ATTACKS)
    assert train([*args, f"--ckpt_path={checkpoint}", "--run.id=b"]) == 0
    assert len(told) >= 2  # by us and by Lightning
    assert set(told) == {True}


def test_a_resumed_run_keeps_its_folder_and_takes_its_other_flags(
    trained, npz, suite, tmp_path, monkeypatch
):
    runs = tmp_path / "runs"
    shutil.copytree(trained["squeezed"], runs / "squeezed" / "a")
    begun = []
    begin = lambda run, *_: begun.append(run) or False  # noqa: E731
    monkeypatch.setattr(robust.commands.train, "loggers", begin)
    checkpoint = runs / "squeezed" / "a" / "checkpoints" / "last.ckpt"
    args = arguments(npz, tmp_path / "elsewhere", suite, command="validate")
    assert train([*args, f"--ckpt_path={checkpoint}", "--run.group=g"]) == 0
    (run,) = begun
    assert (run.folder.resolve(), run.group) == (runs / "squeezed" / "a", "g")


@pytest.mark.parametrize(
    ("args", "parsers"), [(["fit", "--help"], 1), (["--help"], 3), (["--config=a.yaml", "fit"], 3)]
)
def test_only_the_parser_that_is_asked_for_is_filled(args, parsers, monkeypatch):
    filled = []
    monkeypatch.setattr(RobustCLI, "_add_arguments", lambda self, parser: filled.append(parser))
    with pytest.raises(SystemExit):
        train(args)
    assert len(filled) == parsers


@pytest.mark.parametrize("args", [["--help"], ["fit", "--help"], ["test", "--help"]])
def test_help(args, capsys):
    with pytest.raises(SystemExit) as stop:
        train(args)
    assert stop.value.code == 0
    assert "--config" in capsys.readouterr().out
