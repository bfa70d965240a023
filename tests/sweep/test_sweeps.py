"""Every sweep is valid for W&B, and its keys reach the config that its command trains with."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import yaml

from robust.sweep.file import SweepFile
from robust.sweep.schema import problems_of
from robust.sweep.search import random_point

pytestmark = [
    # Lightning 2.6.6 calls `add_instantiator`, which jsonargparse 4.53 deprecates.
    pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"),
    # Lightning's OptimizerCallable is a typing.Callable.
    pytest.mark.filterwarnings("ignore::beartype.roar.BeartypeDecorHintPep585DeprecationWarning"),
]
ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))


def read(path):
    return yaml.safe_load(path.read_text())


def values(parameter):
    """The values at the ends of a parameter's range, or all of them."""
    if "values" in parameter:
        return parameter["values"]
    return [parameter[end] for end in ("value", "min", "max") if end in parameter]


def printed_config(sweep, chosen, monkeypatch, capsys):
    """What the sweep's command would run, from the program itself."""
    flags = [f"--{key}={value}" for key, value in chosen.items()]
    words = sweep["command"][sweep["command"].index("${program}") + 1 :]
    arguments = [word for word in words if word != "${args}"] + flags + ["--print_config"]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [sweep["program"], *arguments])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(sweep["program"], run_name="__main__")
    output = capsys.readouterr()
    assert not stopped.value.code, output.err
    return yaml.safe_load(output.out)


def test_there_are_sweeps():
    assert SWEEPS


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_wandb_accepts_the_sweep(path):
    assert list(problems_of(read(path))) == []


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_keys_are_dotted(path):
    """W&B locks the top of a nested key, and the rest of the config under it is lost."""
    assert not [key for key, value in read(path)["parameters"].items() if "parameters" in value]


@pytest.mark.parametrize(
    "which",
    [
        pytest.param(slice(0, None, 1), id="all", marks=pytest.mark.slow),
        pytest.param(slice(-1, None), id="last"),
    ],
)
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_value_reaches_the_program(path, which, monkeypatch, capsys):
    sweep = read(path)
    assert sweep["command"][:3] == ["${env}", "${interpreter}", "${program}"]
    assert sweep["command"][-1] == "${args}"
    for key, parameter in sweep["parameters"].items():
        for value in values(parameter)[which]:
            config = printed_config(sweep, {key: value}, monkeypatch, capsys)
            for part in key.split("."):
                config = config[part]
            assert config == value


def test_values_arrive_in_the_training_as_they_are(monkeypatch, capsys):
    given = {
        "trainer.max_epochs": -1,
        "trainer.callbacks": None,
        "trainer.deterministic": True,
        "trainer.gradient_clip_val": -0.5,
        "data.init_args.augmentation": dict(
            copies=3, sigma=0.25, clip=True, fresh=False, noise="uniform"
        ),
    }
    sweep = read(ROOT / "sweeps" / "noise_sigma.yaml")
    sweep["parameters"] = {key: {"values": [value]} for key, value in given.items()}
    file = SweepFile(ROOT / "sweeps" / "noise_sigma.yaml", sweep)
    chosen = file.space.values(random_point(file.space, 0, 0))
    words = file.command(chosen)[3:]
    config = printed_config({**sweep, "command": ["${program}", *words]}, {}, monkeypatch, capsys)
    for key, value in given.items():
        found = config
        for part in key.split("."):
            found = found[part]
        assert found == value


@pytest.mark.parametrize("key", ["model.init_args.temprature", "model.temperature.x", "modle"])
def test_a_misspelt_key_is_noticed(key, monkeypatch, capsys):
    sweep = read(ROOT / "sweeps" / "temperature.yaml")
    with pytest.raises(AssertionError, match=key.split(".")[-1]):
        printed_config(sweep, {key: 1}, monkeypatch, capsys)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_metric_is_logged_every_epoch_and_not_of_test_images(path, monkeypatch, capsys):
    sweep = read(path)
    config = printed_config(sweep, {}, monkeypatch, capsys)
    stage, what, view = sweep["metric"]["name"].split("/")
    assert (stage, what) == ("val", "worst_robust_acc")
    assert view in config["evaluation"]["views"]
    assert config["evaluation"]["every_n_epochs"] == 1
    assert config["data"]["init_args"]["val_fraction"] > 0


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_takes_minutes_on_a_laptop(path):
    file = SweepFile.read(path)
    assert file.limit(None) <= 8
    assert {"--trainer.max_epochs=2", "--evaluation.limit=200"} <= set(read(path)["command"])


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_flags_in_its_header_train_the_network_of_the_paper(path, monkeypatch, capsys):
    words = re.search(r"#   robust sweep \w+ -- \\\n#     (.+)", path.read_text())[1]
    flags = words.split()
    sweep = read(path)
    given = dict(flag.removeprefix("--").split("=") for flag in flags)
    chosen = {key: values(parameter)[-1] for key, parameter in sweep["parameters"].items()}
    config = printed_config(sweep, {**chosen, **given}, monkeypatch, capsys)
    assert config["trainer"]["max_epochs"] >= 10
    network = config["model"]["init_args"]["network"]
    assert network["class_path"] == given["model.network"]
    assert "hidden" not in network["init_args"]
    for key, value in chosen.items():
        found = config
        for part in key.split("."):
            found = found[part]
        assert found == value
