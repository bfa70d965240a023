"""Fully connected networks: sizes and arguments."""

import pytest
import torch
from torch import nn

from robust.errors import ConfigError
from robust.networks import MLP
from tests.support.every_network import CIFAR, MNIST, shapes, weights


def test_parameters():
    # 784-512-512-10, and one that recalls an image.
    assert weights(MLP()) == 785 * 512 + 513 * 512 + 513 * 10 == 669_706
    assert weights(MLP(num_classes=784)) == 785 * 512 + 513 * 512 + 513 * 784
    assert weights(MLP(in_features=3072, hidden=7, layers=4)) == 3073 * 7 + 3 * 8 * 7 + 8 * 10


def test_shapes():
    assert shapes(MLP(), nn.Linear, MNIST) == [(512,), (512,), (10,)]
    assert shapes(MLP(5, 3072, hidden=7, layers=1), nn.Linear, CIFAR) == [(7,), (5,)]


def test_outputs_are_linear():
    network = MLP(hidden=4)
    with torch.no_grad():
        network.layers[-1].weight.zero_()
        network.layers[-1].bias.fill_(-3.0)
    assert network(torch.rand(2, 1, 28, 28)).tolist() == [[-3.0] * 10] * 2


@pytest.mark.parametrize("name", ["in_features", "hidden", "layers"])
def test_bad_arguments(name):
    with pytest.raises(ConfigError, match=f"Expected `{name}` to be at least 1, but got 0"):
        MLP(**{name: 0})
