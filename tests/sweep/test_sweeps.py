"""Every sweep is valid for W&B, and its keys reach the config that its command trains with."""

import runpy
import sys
import warnings
from pathlib import Path

import pytest
import yaml

with warnings.catch_warnings():
    # sweeps 0.3.0 still imports a class under the name it had in pydantic 1.
    warnings.simplefilter("ignore")
    from sweeps import RunState, SweepRun, schema_violations_from_proposed_config, stop_runs

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
    assert schema_violations_from_proposed_config(read(path)) == []


def test_the_schema_notices_mistakes():
    sweep = read(ROOT / "sweeps" / "temperature.yaml")
    assert schema_violations_from_proposed_config({**sweep, "method": "gird"})
    assert schema_violations_from_proposed_config({**sweep, "parameters": {"a": {"vlaues": [1]}}})


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


@pytest.mark.parametrize(("name", "bands"), [("brelu_cutoff", [5, 10]), ("noise_sigma", [10])])
def test_hyperband_stops_the_worse_half_before_the_last_epoch(name, bands, monkeypatch, capsys):
    sweep = read(ROOT / "sweeps" / f"{name}.yaml")
    epochs = printed_config(sweep, {}, monkeypatch, capsys)["trainer"]["max_epochs"]
    # Bands past the end of the training would stop runs during their test.
    metric, stopped = sweep["metric"]["name"], {}
    for epoch in range(1, epochs + 1):
        runs = [
            SweepRun(
                name=str(run),
                state=RunState.finished if run in stopped else RunState.running,
                history=[{metric: run / 10}] * stopped.get(run, epoch),
            )
            for run in range(8)
        ]
        stopped |= {int(run.name): epoch for run in stop_runs(sweep, runs)}
    assert sorted(set(stopped.values())) == bands
    assert len(stopped) < 7
