"""What W&B calls a run says what it is."""

import json

import pytest

import robust.defenses  # noqa: F401 (defaults are those of classes that are imported)
from robust.io.labels import Label, label_of, seed_of, swept_keys

DATA = {"class_path": "robust.data.ImageDataModule", "init_args": {"dataset": "mnist"}}
SQUEEZED = {
    "class_path": "robust.defenses.Squeezed",
    "init_args": {
        "network": {"class_path": "robust.networks.MLP", "init_args": {"width": 7}},
        "activation": "tanh",
        "temperature": 20.0,
        "transform": None,
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.5}},
    },
}


def squeezed(**changed):
    model = {**SQUEEZED, "init_args": {**SQUEEZED["init_args"], **changed}}
    return {"model": model, "data": DATA, "seed_everything": 0}


def of(class_path, **arguments):
    return {"model": {"class_path": class_path, "init_args": arguments}, "data": DATA}


def test_name_says_what_the_run_is():
    label = label_of("squeezed", squeezed())
    assert label == Label("squeezed T=20 mnist s0", "squeezed T=20 mnist")


def test_runs_of_other_seeds_are_one_group():
    labels = [label_of("squeezed", {**squeezed(), "seed_everything": s}) for s in (0, 1)]
    assert len({label.name for label in labels}) == 2
    assert len({label.group for label in labels}) == 1


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (squeezed(activation="sigmoid"), "x activation=sigmoid T=20 mnist s0"),
        (squeezed(temperature=32.80001), "x T=32.8 mnist s0"),
        ({**squeezed(), "seed_everything": True}, "x T=20 mnist"),
        (of("robust.defenses.Standard", loss="cross_entropy"), "x mnist"),
        (of("robust.defenses.Trades", eps=0.1, steps=40, beta=6.0), "x eps=0.1 mnist"),
        (of("robust.defenses.Codewords", length=128), "x L=128 mnist"),
        (of("a.class.of.Nobody", eps=0.1), "x mnist"),
        ({"model": None, "data": None}, "x"),
    ],
)
def test_settings_that_differ_from_their_defaults(config, name):
    assert label_of("x", config).name == name


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("imagefolder:/data/my cats", "my cats"), ("npz:deep/x.npz", "x"), ("hf:", "hf")],
)
def test_images_of_ones_own_are_called_after_their_file(dataset, name):
    data = {"class_path": "robust.data.ImageDataModule", "init_args": {"dataset": dataset}}
    assert label_of("x", {"data": data}).name == f"x {name}"


def test_sweeps_put_their_parameters_into_the_name():
    keys = ["model.init_args.activation", "trainer.max_epochs", "model.network", "seed_everything"]
    config = {**squeezed(), "trainer": {"max_epochs": 3}}
    name = label_of("x", config, keys).name
    assert name == "x T=20 activation=tanh network=MLP max_epochs=3 mnist s0"
    lr = ["model.optimizer.init_args.lr", "model.init_args.network.init_args.width"]
    assert label_of("x", config, lr).name == "x T=20 width=7 lr=0.5 mnist s0"


def test_long_names_keep_their_seed():
    label = label_of("x" * 90, squeezed(activation="y" * 90))
    assert len(label.name) <= 120
    assert label.name.endswith("… s0")


def test_keys_of_a_sweep(monkeypatch, tmp_path):
    for name in ("ROBUST_SWEEP_KEYS", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert swept_keys() == []
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(tmp_path / "missing.yaml"))
    assert swept_keys() == []
    file = tmp_path / "config.yaml"
    file.write_text("wandb_version: 1\nmodel.temperature:\n  value: 3\n")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(file))
    assert swept_keys() == ["model.temperature"]
    monkeypatch.setenv("ROBUST_SWEEP_KEYS", json.dumps(["a.b"]))
    assert swept_keys() == ["a.b"]


def test_seed_of_a_run(tmp_path):
    assert seed_of(tmp_path) is None
    (tmp_path / "config.yaml").write_text("seed_everything: 7\n")
    assert seed_of(tmp_path) == 7
    (tmp_path / "config.yaml").write_text("seed_everything: [\n")
    assert seed_of(tmp_path) is None
