"""BReLU: values, derivative, bounds, and its way through the command line."""

import io
from contextlib import redirect_stdout

import pytest
import torch
import yaml

from robust.commands.train import train
from robust.errors import ConfigError
from robust.networks import BReLU
from tests.support.tiny import ROOT


@pytest.mark.parametrize(
    ("t", "values", "derivatives"),
    [
        (1.0, [0, 0, 0.5, 1, 1], [0, 0, 1, 0, 0]),
        (1.5, [0, 0, 0.5, 1, 1.5], [0, 0, 1, 1, 0]),
    ],
)
def test_values_and_derivatives(t, values, derivatives):
    x = torch.tensor([-1, 0, 0.5, 1, 2], requires_grad=True)
    y = BReLU(t)(x)
    y.sum().backward()
    assert y.tolist() == values
    assert x.grad.tolist() == derivatives


def test_below_the_bound_it_is_relu():
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    assert torch.equal(BReLU(100.0)(x), torch.relu(before))
    assert torch.equal(x, before)  # not in place


def test_its_bound_is_printed():
    assert repr(BReLU(2.0)) == "BReLU(t=2.0)"


@pytest.mark.parametrize("t", [0.0, -1.0, float("nan")])
def test_bad_bound(t):
    with pytest.raises(ConfigError, match="Expected `t` to be positive, but got"):
        BReLU(t)


@pytest.mark.usefixtures("quiet")
def test_flags_and_yaml_reach_it(tmp_path):
    file = tmp_path / "model.yaml"
    file.write_text(
        "model:\n  class_path: robust.defenses.Standard\n  init_args:\n    network:\n"
        "      class_path: robust.networks.ZantedeschiCNN\n      init_args:\n"
        "        activation: {class_path: robust.networks.BReLU, init_args: {t: 1/2}}\n"
    )
    config = ["fit", f"--config={ROOT}/configs/standard.yaml", f"--config={file}"]
    assert _activation(config) == {"class_path": "robust.networks.BReLU", "init_args": {"t": 0.5}}
    config.append("--model.network.activation.t=2")
    assert _activation(config)["init_args"] == {"t": 2.0}


def _activation(arguments):
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit):
        train([*arguments, "--print_config"])
    model = yaml.safe_load(printed.getvalue())["model"]
    return model["init_args"]["network"]["init_args"]["activation"]
