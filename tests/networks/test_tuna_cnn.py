"""The networks of Table V: sizes, dropout, activation."""

import pytest
import torch
from torch import nn

from robust.errors import ConfigError
from robust.networks import TunaCifarCNN, TunaMnistCNN

# Convolutions, then dense layers; weights and biases, by hand from Table V.
MNIST = [(1, 32), (32, 32), (32, 64), (64, 64)], [(3136, 200), (200, 200), (200, 10)]
CIFAR = (
    [(3, 32), (32, 64), (64, 128), (128, 128), (128, 256), (256, 256)],
    [(4096, 1024), (1024, 256), (256, 10)],
)


@pytest.mark.parametrize(
    ("network", "layers", "shape"),
    [(TunaMnistCNN, MNIST, (1, 28, 28)), (TunaCifarCNN, CIFAR, (3, 32, 32))],
)
class TestTableV:
    def test_parameters(self, network, layers, shape):
        convolutions, dense = layers
        expected = sum(9 * i * o + o for i, o in convolutions) + sum(i * o + o for i, o in dense)
        assert sum(p.numel() for p in network().parameters()) == expected

    def test_one_score_a_class(self, network, layers, shape):
        assert network(num_classes=7)(torch.zeros(2, *shape)).shape == (2, 7)

    def test_dropout_and_activation_are_everywhere(self, network, layers, shape):
        model = network(dropout=0.25, activation=nn.Tanh)
        drops = [m.p for m in model.modules() if isinstance(m, nn.Dropout)]
        assert drops == [0.25] * {TunaMnistCNN: 2, TunaCifarCNN: 3}[network]
        hidden = len(layers[0]) + len(layers[1]) - 1
        assert sum(isinstance(m, nn.Tanh) for m in model.modules()) == hidden
        assert not any(isinstance(m, nn.ReLU) for m in model.modules())

    def test_bad_arguments(self, network, layers, shape):
        with pytest.raises(ConfigError, match="Expected `num_classes` to be at least 2"):
            network(num_classes=1)
        with pytest.raises(ConfigError, match=r"Expected `dropout` to be in \[0, 1\)"):
            network(dropout=1.0)
