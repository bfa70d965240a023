"""A suite that takes the eps of the data set, on one that has none: said before torch is there."""

import shutil
import subprocess
import sys

import pytest
import torch

import robust
from robust.commands.evaluate import evaluate
from robust.commands.options.early import check
from robust.errors import ConfigError
from tests.support.factories import linear
from tests.support.tiny import ROOT


def folder_of(tmp_path, dataset):
    folder = tmp_path / "runs/a/b"
    (folder / "checkpoints").mkdir(parents=True)
    config = f"data: {{class_path: robust.data.ImageDataModule, init_args: {{dataset: {dataset}}}}}"
    (folder / "config.yaml").write_text(config)
    (folder / "checkpoints/last.ckpt").touch()
    return folder


@pytest.mark.parametrize(
    ("dataset", "flags", "norm"),
    [
        ("mnist", [], None),
        ("mnist", ["--norm=L2"], None),
        ("bars.npz", [], "Linf"),
        ("bars.npz", ["--norm=L2"], "L2"),
        ("bars.npz", ["--eps=0.1"], None),
        ("moons", [], "Linf"),
    ],
)
@pytest.mark.parametrize("suite", ["standard", "rand", "black_box", "torchattacks"])
def test_of_a_run(suite, dataset, flags, norm, tmp_path):
    folder = folder_of(tmp_path, dataset)
    for run in (folder, folder / "checkpoints/last.ckpt"):
        args = [str(run), f"--suite={suite}", *flags]
        if norm is None:
            check("evaluate", args)
            continue
        with pytest.raises(ConfigError, match=f"suite {suite} on {dataset}, but no {norm}") as no:
            check("evaluate", args)
        assert "\n" not in str(no.value)
        assert len(str(no.value)) <= 300


@pytest.mark.parametrize(
    ("data", "is_known"),
    [("mnist", True), ("cifar10", True), ("circles", False), ("mine.npz", False)],
)
def test_of_a_network(data, is_known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt").touch()
    (tmp_path / "mine.npz").touch()
    (tmp_path / "data.yaml").write_text(f"init_args: {{dataset: {data}}}")
    for named in (data, "data.yaml"):
        args = ["net.pt", "--network=a:B", f"--data={named}", "--suite=standard"]
        if is_known:
            check("evaluate", args)
        else:
            with pytest.raises(ConfigError, match=f"an eps for suite standard on {data}"):
                check("evaluate", args)
        check("evaluate", [*args[:-1], "--suite=quick"])


@pytest.mark.parametrize(
    "suite", ["threat_model: 3", "threat_model: {eps: usual}\neps_on: 3", "a: 1"]
)
def test_what_is_no_suite_is_said_later(suite, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(suite)
    check("evaluate", [str(folder_of(tmp_path, "mnist")), f"--suite={file}"])


def test_no_torch_is_needed(tmp_path):
    code = (
        "import sys\nfrom robust.commands.options.early import check\n"
        "from robust.errors import ConfigError\n"
        "try:\n    check('evaluate', sys.argv[1:])\n"
        "except ConfigError as error:\n    print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    args = [str(folder_of(tmp_path, "bars.npz")), "--suite=standard"]
    made = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert made.stdout.startswith("Expected an eps for suite standard on bars.npz")


def test_the_evaluation_says_it_too_and_the_table_has_the_eps(trained, tmp_path, quiet, capsys):
    run = str(shutil.copytree(trained["standard"], tmp_path / "runs/standard/a"))
    flags = [run, "--limit=4", "--view=deployed", "--attacks=square"]
    assert evaluate([*flags, "--suite=black_box"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "an eps for suite black_box" in said
    assert evaluate([*flags, "--suite=quick"]) == 0
    assert "Threat models: square Linf 0.2." in capsys.readouterr().out


def test_python_says_it_before_anything_is_attacked():
    x, y = torch.randint(256, (6, 1, 4, 4)) / 255, torch.arange(6) % 3
    attacked = {"suite": "standard", "attacks": ["restarts"], "progress": False}
    with pytest.raises(ConfigError, match=r"an eps for suite standard on .*`eps=8/255` in Python"):
        robust.evaluate(robust.Standard(linear()), (x, y), **attacked)
    result = robust.evaluate(robust.Standard(linear()), (x, y), **attacked, eps=0.01)
    assert result.evaluation.header.attacks["restarts"].budget == "Linf 0.01"
