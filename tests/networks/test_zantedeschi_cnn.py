"""The networks of Zantedeschi et al.: shapes at each stage, weights, start and arguments."""

import pytest
import torch
from torch import nn

from robust.errors import ConfigError
from robust.networks import BReLU, ZantedeschiCifarCNN, ZantedeschiCNN, ZantedeschiResNet
from tests.support.every_network import CIFAR, MNIST, shapes, weights

FOR_CIFAR = {"in_channels": 3, "size": 32}


class TestCNN:
    def test_parameters(self):
        assert weights(ZantedeschiCNN()) == 4160 + 295_040 + 409_728 + 1290 == 710_218

    def test_stages(self):
        mnist = [(64, 14, 14), (128, 5, 5), (128, 1, 1)]
        assert shapes(ZantedeschiCNN(), nn.Conv2d, MNIST) == mnist
        cifar = [(64, 16, 16), (128, 6, 6), (128, 2, 2)]
        assert shapes(ZantedeschiCNN(**FOR_CIFAR), nn.Conv2d, CIFAR) == cifar


class TestResidual:
    def test_parameters(self):
        stem = 8 * 8 * 64 + 64 + 6 * 6 * 64 * 128 + 128
        block = 128 * 64 + 64 + 9 * 64 * 64 + 64 + 64 * 128 + 128
        assert weights(ZantedeschiResNet()) == stem + block + 128 * 10 + 10 == 353_994

    def test_stages(self):
        mnist = [(64, 14, 14), (128, 5, 5), (64, 5, 5), (64, 5, 5), (128, 5, 5)]
        assert shapes(ZantedeschiResNet(), nn.Conv2d, MNIST) == mnist
        assert shapes(ZantedeschiResNet(), nn.MaxPool2d, MNIST) == [(128, 1, 1)]
        cifar = [(64, 16, 16), (128, 6, 6), (64, 6, 6), (64, 6, 6), (128, 6, 6)]
        assert shapes(ZantedeschiResNet(**FOR_CIFAR), nn.Conv2d, CIFAR) == cifar
        assert shapes(ZantedeschiResNet(**FOR_CIFAR), nn.MaxPool2d, CIFAR) == [(128, 2, 2)]

    def test_the_block_adds_its_input(self):
        block = ZantedeschiResNet(activation=BReLU).layers[4]
        nn.init.zeros_(block.residual[-1].weight)
        x = torch.randn(2, 128, 5, 5)
        assert torch.equal(block(x), x.clamp(0, 1))


class TestCifarCNN:
    def test_parameters(self):
        convolutions = 9 * 3 * 32 + 32 + 9 * 32 * 64 + 64
        expected = convolutions + 3136 * 500 + 500 + 500 * 10 + 10
        assert weights(ZantedeschiCifarCNN()) == expected == 1_592_902

    def test_stages(self):
        layers = (nn.Conv2d, nn.MaxPool2d, nn.Linear)
        stages = [(32, 32, 32), (32, 16, 16), (64, 14, 14), (64, 7, 7), (500,), (10,)]
        assert shapes(ZantedeschiCifarCNN(), layers, CIFAR) == stages

    def test_dropout(self):
        network = ZantedeschiCifarCNN(dropout=0.25)
        assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.25] * 3
        with pytest.raises(ConfigError, match=r"Expected `dropout` to be in \[0, 1\)"):
            ZantedeschiCifarCNN(dropout=1.0)


@pytest.mark.parametrize("network", [ZantedeschiCNN, ZantedeschiResNet, ZantedeschiCifarCNN])
def test_start_of_keras(network):
    torch.manual_seed(0)
    for module in network().modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight
            fans = weight.shape[0] + weight.shape[1]
            limit = (6 / (fans * weight[0, 0].numel())) ** 0.5
            assert 0.9 < weight.abs().max() / limit <= 1
            assert weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.1)
            assert not module.bias.any()


@pytest.mark.parametrize(("network", "smallest"), [(ZantedeschiCNN, 28), (ZantedeschiResNet, 20)])
def test_bad_arguments(network, smallest):
    for size in (smallest - 2, smallest + 1):
        message = f"`size` to be even and at least {smallest}, but got {size}"
        with pytest.raises(ConfigError, match=message):
            network(size=size)
    assert network(size=smallest)(torch.rand(2, 1, smallest, smallest)).shape == (2, 10)
    with pytest.raises(ConfigError, match="`in_channels` to be at least 1, but got 0"):
        network(in_channels=0)
