"""What holds for every exported network: outputs, gradients, training, activations, YAML."""

import inspect

import pytest
import torch
import torch.nn.functional as F
from jsonargparse import ArgumentParser
from torch import nn

import robust.networks
from robust.errors import ConfigError
from robust.networks import BReLU, DenseNet
from tests.support.every_network import LAYERS, NETWORKS, SMALL, images, small

every = pytest.mark.parametrize("network", NETWORKS)
HIDDEN = (nn.ReLU, nn.ELU, nn.Tanh, BReLU)


def activations(model):
    return [module for module in model.modules() if isinstance(module, HIDDEN)]


def test_nothing_is_left_out():
    """Of what the package exports, every class is a network or a layer named here."""
    exported = {
        name
        for name, value in vars(robust.networks).items()
        if inspect.isclass(value) and issubclass(value, nn.Module)
    }
    assert exported == set(robust.networks.__all__)
    assert {network.__name__ for network in NETWORKS} == exported - LAYERS


@every
def test_any_number_of_outputs(network):
    assert small(network, num_classes=2)(images(network, 3)).shape == (3, 2)
    assert small(network, num_classes=1024)(images(network, 3)).shape == (3, 1024)


@every
def test_too_few_outputs(network):
    with pytest.raises(ConfigError, match="Expected `num_classes` to be at least 2, but got 1"):
        network(num_classes=1)


@pytest.mark.sampled(every=2)
@every
def test_it_trains(network):
    torch.manual_seed(0)
    model, x, y = small(network), images(network), torch.arange(8)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()  # so that a lower loss is not luck
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    before = [p.detach().clone() for p in model.parameters()]
    losses = []
    for step in range(11):
        loss = F.cross_entropy(model(x), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        if step == 0:
            moved = [not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)]
            assert all(moved)
    assert losses[-1] < losses[0]


@every
def test_gradient_of_each_pixel(network):
    torch.manual_seed(0)
    x = images(network, 2).requires_grad_()
    small(network).eval()(x).square().sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad != 0).float().mean() > 0.5


@every
def test_an_image_alone_has_the_same_outputs(network):
    model, x = small(network).eval(), images(network)
    torch.testing.assert_close(model(x[:1]), model(x)[:1], rtol=1e-4, atol=1e-5)


@every
def test_the_activation_is_everywhere(network):
    last = {"final_activation": None} if network is DenseNet else {}
    plain, tanh = small(network, **last), small(network, activation=nn.Tanh, **last)
    assert {type(module) for module in activations(plain)} == {nn.ReLU}
    assert {type(module) for module in activations(tanh)} == {nn.Tanh}
    assert len(activations(plain)) == len(activations(tanh)) >= 2


@every
def test_brelu_from_a_config(network):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    brelu = {"class_path": "robust.networks.BReLU", "init_args": {"t": 0.5}}
    arguments = SMALL.get(network.__name__, {}) | {"activation": brelu}
    path = f"robust.networks.{network.__name__}"
    config = parser.parse_object({"network": {"class_path": path, "init_args": arguments}})
    model = parser.instantiate(config).network
    bounded = [module for module in model.modules() if isinstance(module, BReLU)]
    assert len(bounded) == len(activations(small(network))) - (network is DenseNet)
    assert {module.t for module in bounded} == {0.5}
    model(images(network)).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
