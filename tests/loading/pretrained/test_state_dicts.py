"""Weights in the forms in which people save them, and what does not fit, by its name."""

import re
import sys

import pytest
import torch
from torch import nn

from robust.errors import ConfigError
from robust.loading.pretrained.state_dicts import load_weights, read_weights
from tests.support.bars import Bars


class Network(nn.Module):
    """Two layers with a normalization between them."""

    def __init__(self, hidden=3):
        super().__init__()
        self.conv = nn.Conv2d(1, hidden, 3)
        self.norm = nn.BatchNorm2d(hidden)
        self.head = nn.Linear(hidden, 4)


class Marker:
    """Pickled by its name, so that reading it would import a module."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.pt"


def weights():
    torch.manual_seed(0)
    return Network().state_dict()


def saved(content, path):
    torch.save(content, path)
    return path


def prefixed(prefix):
    return {prefix + key: value for key, value in weights().items()}


FORMS = {
    "bare": lambda: weights(),
    "state_dict": lambda: {"state_dict": weights(), "best_prec1": torch.tensor(93.0), "epoch": 3},
    "model": lambda: {"model": weights(), "optimizer": {"lr": 0.1}},
    "list": lambda: {"state_dict": [weights()], "err": [0.1, 0.2]},
    "net": lambda: {"net": prefixed("module."), "acc": 99.1},
    "unknown key": lambda: {"classifier_v2": weights(), "step": 7},
    "parallel": lambda: prefixed("module."),
    "lightning": lambda: {
        "state_dict": prefixed("backbone.") | {"loss.weight": torch.ones(4)},
        "epoch": 1,
        "hyper_parameters": {"lr": 0.1},
    },
    "twice": lambda: prefixed("module.model."),
    "half": lambda: {key: value.half() for key, value in weights().items()},
    "parameters": lambda: {key: nn.Parameter(value.float()) for key, value in weights().items()},
    "old": lambda: {k: v for k, v in weights().items() if not k.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form, path):
    network = Network()
    notes = load_weights(network, read_weights(saved(FORMS[form](), path)), path)
    for key, value in weights().items():
        if value.is_floating_point():
            torch.testing.assert_close(network.state_dict()[key], value, rtol=1e-3, atol=1e-3)
    assert len(notes) == (form == "lightning")


def test_other_names_in_the_same_order(path):
    named = {f"layer{i}.w": value for i, value in enumerate(weights().values()) if value.ndim}
    network = Network()
    (note,) = load_weights(network, read_weights(saved(named, path)), path)
    assert note == "w.pt: no name fits, so its 8 weights are taken in their order."
    assert network.head.bias.equal(weights()["head.bias"])


def test_names_of_a_network_within_another(path):
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Network()

    network = Outer()
    load_weights(network, read_weights(saved(weights(), path)), path)
    assert network.model.head.bias.equal(weights()["head.bias"])


WRONG = {
    "missing": (
        lambda: {k: v for k, v in weights().items() if k != "head.bias"},
        "1 missing (head.bias)",
    ),
    "unexpected": (lambda: {**weights(), "extra.w": torch.ones(1)}, "1 unexpected (extra.w)"),
    "shape": (lambda: Network(5).state_dict(), "conv.weight of shape (3, 1, 3, 3) for Network"),
    "another network": (lambda: Bars().state_dict(), "no name fits"),
    "nan": (lambda: {**weights(), "head.bias": torch.full((4,), torch.nan)}, "finite weights"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_named(what, path):
    content, message = WRONG[what]
    network = Network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        load_weights(network, read_weights(saved(content(), path)), path)
    assert len(str(error.value)) <= 300
    assert all(value.equal(before[key]) for key, value in network.state_dict().items())


FILES = {
    "module": (lambda p: torch.save(Network(), p), r"pickled code.*torch\.save\(model\.state_dict"),
    "code": (lambda p: torch.save({"a": Marker()}, p), "pickled code"),
    "empty": (lambda p: p.write_bytes(b""), "but got an empty file"),
    "text": (lambda p: p.write_text("import os\n"), "but got text"),
    "cut": (lambda p: p.write_bytes(cut(p)), "cannot be read"),
    "plain": (lambda p: torch.save({"epoch": 3}, p), "holds the keys epoch"),
    "tensor": (lambda p: torch.save(torch.ones(3), p), "holds a Tensor"),
    "two": (lambda p: torch.save({"g": weights(), "d": weights()}, p), "--key: g, d"),
    "list": (
        lambda p: torch.save({"state_dict": [weights()] * 3}, p),
        r"3 networks under 'state_dict'\..*--key: state_dict\.0, ",
    ),
    "nothing": (lambda p: torch.save({}, p), "holds nothing"),
}


def cut(path):
    torch.save(weights(), path)
    return path.read_bytes()[:-200]


@pytest.mark.parametrize("what", FILES)
def test_files_without_weights(what, path):
    write, message = FILES[what]
    write(path)
    with pytest.raises(ConfigError, match=message) as error:
        read_weights(path)
    assert "\n" not in str(error.value)


def test_safetensors(path):
    safetensors = pytest.importorskip("safetensors.torch")
    path = path.with_suffix(".safetensors")
    safetensors.save_file(weights(), path)
    network = Network()
    load_weights(network, read_weights(path), path)
    assert network.head.bias.equal(weights()["head.bias"])
    path.write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_weights(path)


def test_safetensors_without_the_package(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    path = path.with_suffix(".safetensors")
    path.write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(ConfigError, match=r"pip install \"robust-defenses\[safetensors\]\""):
        read_weights(path)


def test_one_of_several_networks_is_chosen_by_its_place(path):
    cascade = {
        "state_dict": [Network(5).state_dict(), weights(), Network(6).state_dict()],
        "err": 0.1,
    }
    assert read_weights(saved(cascade, path), "state_dict.1").keys() == weights().keys()
    load_weights(Network(), read_weights(path, "state_dict.1"), path)
    with pytest.raises(ConfigError, match=r"one of state_dict\.0, state_dict\.1, state_dict\.2"):
        read_weights(path, "state_dict.7")
