"""What a user gets wrong ends in one line that says so, with exit code 2, and in nothing lost."""

import os
import re

import numpy as np
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel

from robust.commands.evaluate import evaluate
from robust.commands.train import train
from tests.conftest import write_npz
from tests.support.cases import crossed
from tests.support.tiny import ROOT, arguments

pytestmark = pytest.mark.usefixtures("quiet")
CONFIGS = ROOT / "configs"


@pytest.fixture
def fit(npz, suite, tmp_path):
    """Run `fit` with further flags; it must fail before it makes a run folder."""

    def run(*args):
        command = [*arguments(npz, tmp_path / "runs", suite), "--trainer.logger=false", *args]
        code = code_of(train, command)
        assert not (tmp_path / "runs").exists()
        return code

    return run


def code_of(command, args):
    try:
        return command([str(arg) for arg in args])
    except SystemExit as stop:
        return stop.code


def assert_one_line(code, capsys, message):
    assert code == 2
    told = [line for line in capsys.readouterr().err.splitlines() if "error" in line.lower()]
    assert len(told) == 1
    assert told[0].startswith("error: ")
    assert re.search(message, told[0]), told[0]


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--trainer.max_epocs=3"], r"'--trainer.max_epocs'. Did you mean --trainer.max_epochs\?"),
        (["--trainer.max_epoch=3"], r"'--trainer.max_epoch'. Did you mean --trainer.max_epochs\?"),
        (["--modle.temperature=3"], r"'--modle.temperature'. Did you mean"),
        (["--weights_only=false"], "'--weights_only'"),
        (["extra"], "'extra'"),
        (["--config=nowhere.yaml"], "YAML file at .*nowhere.yaml"),
        (["--evaluation=nowhere.yaml"], "YAML file at .*nowhere.yaml"),
        (["--model=nowhere.yaml"], "YAML file at nowhere.yaml"),
        (["--model=robust.Squeezed"], "Name robust.defenses.Squeezed instead of robust.Squeezed"),
        (["--model=robust.defenses.Sqeezed"], "no 'Sqeezed' in robust.defenses. .* Squeezed"),
        (["--model=robust.defences.Squeezed"], "no 'defences' in robust. Did you mean defenses"),
        (["--model=nowhere.Squeezed"], "no module 'nowhere'"),
        (["--model=Sqeezed"], "got 'Sqeezed'. Did you mean Squeezed"),
        (["--model=robust.defenses.Defense"], "robust.defenses.Defense is abstract. Name one"),
        (["--model=torch.nn.Linear"], "`model` to be a subclass of Defense, .*'torch.nn.Linear'"),
        (["--model.network=torch.optim.Adam"], "`network` to be a subclass of Module, .*Adam'"),
        (["--model.temperatur=3"], "'temperatur' of robust.defenses.Squeezed. .* temperature"),
        (["--model.init_args.tempo.x=3"], "--tempo.x"),
        (["--model.temperature=abc"], "`temperature` to be a number, but got 'abc'"),
        (["--model.temperature=8/x"], "`temperature` to be a number, but got '8/x'"),
        (["--model.temperature=-3"], "`temperature` to be positive, but got -3"),
        (["--model.temperature=.nan"], "`temperature` to be positive, but got nan"),
        (["--model.activation=tahn"], "one of 'sigmoid', 'tanh', but got 'tahn'. .* tanh"),
        (["--model.network=null"], "a value for network of robust.defenses.Squeezed"),
        (["--model.network.num_classes=x"], "`num_classes` to be an integer, but got 'x'"),
        (
            ["--model.network.num_classes=7"],
            "each of the 10 classes of bars, but TinyNetwork gives 7",
        ),
        (
            ["--model.network=robust.networks.TunaCifarCNN"],
            "the 1x28x28 images of bars",
        ),
        (["--model.optimizer=torch.optim.Adm"], "no 'Adm' in torch.optim. Did you mean Adam"),
        (["--model.optimizer=torch.optim.Adam", "--model.optimizer.lr=abc"], "`lr` to be a number"),
        (["--data.batch_size=big"], "`batch_size` to be an integer, but got 'big'"),
        (["--data.batch_size=0"], "`batch_size` to be at least 1, but got 0"),
        (["--data.dataset=mnst"], "'mnst'. Did you mean mnist"),
        (["--data.dataset=nowhere.npz"], "data file at nowhere.npz, but there is no such file"),
        (["--trainer.accelerator=gpuu"], "invalid accelerator name: `accelerator='gpuu'`"),
        (["--trainer.strategy=dpp"], "invalid strategy name: `strategy='dpp'`"),
        (["--trainer.precision=bf61"], "'bf16-mixed'.* but got 'bf61'"),
        (["--trainer.max_epochs=-3"], "`trainer.max_epochs` to be at least -1, but got -3"),
        (["--trainer.max_epochs=many"], "`trainer.max_epochs` to be an integer or null.*'many'"),
        (["--run.name=a/b"], "`run.name` to be a name"),
        (["--evaluation.views=[]"], "at least one of `views`, but got none"),
        (["--ckpt_path=http://localhost/a.ckpt"], "no such file"),
    ],
)
def test_flags(fit, capsys, args, message):
    assert_one_line(fit(*args), capsys, message)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "fit,validate,test"),
        (["fitt"], r"fit, validate, test, but got 'fitt'. Did you mean fit\?"),
        (["fit"], "a value for fit.data, but got none"),
        (["fit", "--data.dataset=digits"], "a value for fit.model, but got none"),
    ],
)
def test_incomplete_commands(capsys, args, message):
    assert_one_line(code_of(train, args), capsys, message)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(fit, capsys):
    assert_one_line(fit("--trainer.accelerator=gpu"), capsys, "No supported gpu backend")


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--evaluation.attacks.pgd=torchattacks.PDG"], "no 'PDG' in torchattacks. .* PGD"),
        (["--evaluation.attacks.pgd=robust.attacks.PDG"], "no 'PDG' in robust.attacks. .* PGD"),
        (["--evaluation.attacks.pgd=torch.nn.ReLU"], "to be a subclass of Attack, .*ReLU'"),
        (["--evaluation.attacks.fgsm.init_args.epz=1"], "'epz' of torchattacks.FGSM. .* eps"),
        (["--evaluation.attacks.fgsm.init_args.eps=abc"], "`eps` of attack `fgsm` .*number.*'abc'"),
        (["--evaluation.attacks.pgd.init_args.eps=abc"], "`eps` to be a number, but got 'abc'"),
        (["--evaluation.attacks.fgsm.init_args.eps=-0.1"], "non-negative, but got -0.1"),
        (["--evaluation.attacks.pgd.init_args.eps=-1/255"], "non-negative, but got -0.0039"),
        (["--evaluation.attacks.pgd.init_args.norm=L3"], "one of 'Linf', 'L2', but got 'L3'"),
        (["--evaluation.threat_model.eps=-1"], "`eps` to be non-negative, but got -1"),
        (["--evaluation.threat_model.eps=abc"], "`evaluation.threat_model.eps` to be a number"),
        (["--evaluation.threat_model.eps=0.5"], "`fgsm` to have the eps of its threat model, 0.5"),
        (["--evaluation.threat_model.norm=L2"], "`fgsm` to bound L2 .* FGSM bounds Linf"),
        (["--evaluation.threat_model.norm=L7"], "'Linf', 'L2', 'L0', but got 'L7'"),
        (["--evaluation.targets={'pgd': 77}"], "target of attack `pgd` .* 10 classes .* got 77"),
        (["--evaluation.targets={'pdg': 7}"], "keys of `targets` .* but got 'pdg'"),
        (
            [
                "--evaluation.attacks={'deepfool': 'torchattacks.DeepFool'}",
                "--evaluation.threat_model={'norm': 'L2', 'eps': 1}",
                "--evaluation.targets={'deepfool': 7}",
            ],
            "`deepfool` to have a targeted mode",
        ),
        (["--evaluation.limit=0"], "`limit` to be at least 1, but got 0"),
        (["--evaluation.limit=all"], "`evaluation.limit` to be an integer or null, .*'all'"),
        (["--evaluation.views=[adaptve]"], "'adaptive', but got 'adaptve'. Did you mean adaptive"),
    ],
)
def test_suites(fit, capsys, args, message):
    assert_one_line(fit(*args), capsys, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: {max_epoch: 3}", r"'trainer.max_epoch'. Did you mean trainer.max_epochs\?"),
        ("evaluatoin: {limit: 3}", r"'evaluatoin\S*'. Did you mean evaluation"),
        ("model: {class_path: robust.defenses.Squeezed, init_arg: {}}", "`init_args` only"),
        ("model: [1", r"YAML file at .*bad.yaml, but cannot read it \(line 2: did not find"),
    ],
)
def test_files(fit, tmp_path, capsys, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    assert_one_line(fit(f"--config={tmp_path}/bad.yaml"), capsys, message)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"dtype": np.float32}, "`x_train` .* to be uint8, but got float32"),
        ({"shape": (28, 28, 3)}, "network for the 3x28x28 images of bad, but TinyNetwork"),
        ({"shape": (28,)}, "`x_train`"),
        ({"classes": 3}, "each of the 3 classes of bad, but TinyNetwork gives 10"),
        ({"y_test": np.zeros(3, int)}, "`y_test`"),
        ({"y_train": np.arange(64) / 64}, "`y_train`"),
    ],
)
def test_data(fit, tmp_path, capsys, content, message):
    write_npz(tmp_path / "bad.npz", **content)
    assert_one_line(fit(f"--data.dataset={tmp_path}/bad.npz"), capsys, message)


def test_truncated_data(fit, npz, tmp_path, capsys):
    truncated = tmp_path / "bad.npz"
    truncated.write_bytes(npz.read_bytes()[:3000])
    assert_one_line(
        fit(f"--data.dataset={truncated}"), capsys, "complete .npz file .* at .*bad.npz"
    )


def test_data_that_runs_code(fit, tmp_path, capsys):
    bad, witness = tmp_path / "bad.npz", tmp_path / "witness"
    write_npz(bad, x_train=np.array([Malicious(witness)], dtype=object))
    assert_one_line(fit(f"--data.dataset={bad}"), capsys, "bad.npz")
    assert not witness.exists()


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model.teacher_epochs=2"], "leave epochs for teacher and student, but got 2"),
        (["--model.teacher_epochs=0"], "`teacher_epochs` to be at least 1"),
        (["--trainer.max_epochs=1"], "leave epochs for teacher and student, but got 1"),
        (["--model.teacher_epochs=1", "--model.teacher=a.ckpt"], "or `teacher`, but got both"),
    ],
)
def test_distillation(fit, capsys, args, message):
    model = [
        "--model=robust.defenses.Distillation",
        "--model.network=tests.support.tiny.TinyNetwork",
    ]
    assert_one_line(fit(*model, *args), capsys, message)


def test_a_network_that_does_not_fit_leaves_no_run_behind(npz, suite, tmp_path, capsys):
    args = [*arguments(npz, tmp_path / "runs", suite), "--model.network.num_classes=7"]
    assert_one_line(code_of(train, args), capsys, "TinyNetwork gives 7")
    assert not (tmp_path / "runs").exists()


def test_what_the_trainer_refuses_only_when_it_has_the_data(npz, suite, tmp_path, capsys):
    args = [*arguments(npz, tmp_path / "runs", suite), "--trainer.logger=false"]
    code = code_of(train, [*args, "--trainer.val_check_interval=100000"])
    assert_one_line(code, capsys, r"`val_check_interval` \(100000\) must be less than or equal to")


def test_a_run_folder_that_cannot_be(npz, suite, tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    code = code_of(train, arguments(npz, tmp_path / "file", suite))
    assert_one_line(code, capsys, "run folder that can be written, but got .*file.*--run.root")
    assert (tmp_path / "file").read_text() == "kept"


class Malicious:
    """Pickled code that leaves a file behind where it is run."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.mknod, (str(self.witness),)


def bad_checkpoint(kind, trained, tmp_path):
    """Return the path of a bad checkpoint."""
    good = trained["squeezed"] / "checkpoints" / "last.ckpt"
    path = tmp_path / "bad.ckpt"
    if kind == "truncated":
        path.write_bytes(good.read_bytes()[:5000])
    elif kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "malicious":
        content = torch.load(good, weights_only=True)
        torch.save({**content, "callbacks": Malicious(tmp_path / "witness")}, path)
    elif kind == "foreign":
        torch.save({"state_dict": BoringModel().state_dict()}, path)
    return path


BAD = {
    "missing": "bad.ckpt, but there is no such file",
    "truncated": "complete checkpoint at .*bad.ckpt",
    "text": "a checkpoint at .*bad.ckpt, but got text",
    "malicious": "bad.ckpt .*no checkpoint or holds pickled code, which was not run",
    "foreign": "bad.ckpt",
}
USES = ("fit", "test", "teacher", "run", "transfer")


@pytest.mark.parametrize(("bad", "use"), crossed(BAD, USES, every=5))
def test_checkpoints(trained, npz, suite, tmp_path, capsys, bad, use):
    message, checkpoint = BAD[bad], bad_checkpoint(bad, trained, tmp_path)
    command = train
    if use in ("fit", "test"):
        args = [*arguments(npz, tmp_path / "runs", suite, command=use), f"--ckpt_path={checkpoint}"]
    elif use == "teacher":
        args = arguments(npz, tmp_path / "runs", suite, "Distillation")
        args += [f"--model.teacher={checkpoint}", "--trainer.logger=false"]
    else:
        command = evaluate
        args = (
            [checkpoint] if use == "run" else [trained["squeezed"], "--transfer-from", checkpoint]
        )
        args += ["--suite", suite]
    assert_one_line(code_of(command, args), capsys, message)
    assert not (tmp_path / "witness").exists()
    assert not (tmp_path / "runs").exists()


def test_a_checkpoint_of_another_defense(run, npz, suite, tmp_path, capsys):
    before = sorted(run.rglob("*"))
    args = arguments(npz, tmp_path / "runs", suite, "Standard")
    code = code_of(train, [*args, f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"])
    assert_one_line(code, capsys, "checkpoint of Standard at .* of robust.defenses.Squeezed")
    assert sorted(run.rglob("*")) == before


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--suite=nowhere.yaml"], "file at nowhere.yaml, but cannot read it"),
        (["--suite", CONFIGS / "squeezed.yaml"], "`attacks` in .*squeezed.yaml, but it has none"),
        (["--suite", CONFIGS / "data" / "mnist.yaml"], "`attacks` in .*mnist.yaml"),
        (
            ["--table", CONFIGS / "suites" / "quick.yaml"],
            "a table in .*, but it lacks clean_acc, columns",
        ),
        (["--suite", "SUITE", "--limit=0"], "`limit` to be at least 1"),
        (["--suite", "SUITE", "--devices=0"], "trainer"),
    ],
)
def test_evaluate(trained, suite, capsys, args, message):
    args = [suite if arg == "SUITE" else arg for arg in args]
    assert_one_line(code_of(evaluate, [trained["squeezed"], *args]), capsys, message)


def test_evaluate_of_a_folder_of_runs(trained, suite, capsys):
    runs = trained["squeezed"].parent
    code = code_of(evaluate, [runs, "--suite", suite])
    assert_one_line(code, capsys, f"Name one of its runs: {trained['squeezed']}")


def test_evaluate_of_a_run_whose_data_is_gone(trained, suite, tmp_path, capsys):
    checkpoint = torch.load(trained["squeezed"] / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["robust"]["data"]["init_args"]["dataset"] = "gone.npz"
    del checkpoint["robust_checksums"]  # or it would be refused as edited
    torch.save(checkpoint, tmp_path / "a.ckpt")
    code = code_of(evaluate, [tmp_path / "a.ckpt", "--suite", suite])
    assert_one_line(code, capsys, "data file at gone.npz, but there is no such file")


@pytest.mark.parametrize("command", ["validate", "test"])
def test_nothing_tests_an_untrained_network(npz, suite, tmp_path, command, capsys):
    assert train(arguments(npz, tmp_path / "runs", suite, command=command)) == 2
    assert f"Expected `--ckpt_path` with the weights to {command}" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
