"""DenseNet: weights, channel plan, start, options and arguments."""

import pytest
import torch
from torch import nn

from robust.errors import ConfigError
from robust.networks import DenseNet
from tests.support.every_network import CIFAR, MNIST, shapes, weights

PLAN = [(24, 168), (168, 312), (312, 456)]  # channels before and after each block


def test_parameters_of_depth_40():
    first, layers = 9 * 3 * 24, sum(9 * c * 12 for low, high in PLAN for c in range(low, high, 12))
    transitions = 168 * 168 + 312 * 312
    norms = 2 * (sum(c for low, high in PLAN for c in range(low, high, 12)) + 168 + 312 + 456)
    expected = first + layers + transitions + norms + 456 * 10 + 10
    assert weights(DenseNet(in_channels=3)) == expected == 1_059_298


def test_convolutions_of_depth_40():
    sizes = [m.kernel_size for m in DenseNet().modules() if isinstance(m, nn.Conv2d)]
    assert sizes.count((3, 3)) == 36 + 1
    assert sizes.count((1, 1)) == 2


@pytest.mark.parametrize("shape", [MNIST, CIFAR])
def test_channel_plan(shape):
    def plan(kind):
        return shapes(DenseNet(in_channels=shape[0]), kind, shape)

    side = shape[1]
    assert plan(nn.AvgPool2d) == [(168, side // 2, side // 2), (312, side // 4, side // 4)]
    assert plan(nn.ELU) == [(456, side // 4, side // 4)]
    convolutions = plan(nn.Conv2d)
    assert convolutions[0] == (24, side, side)
    assert convolutions[1:13] == [(12, side, side)] * 12
    assert convolutions[13] == (168, side, side)
    assert convolutions[-12:] == [(12, side // 4, side // 4)] * 12


def test_compression_and_growth():
    network = DenseNet(depth=10, growth=5, compression=0.5)
    # 10 + 2 * 5 = 20, half is 10, 20 again.
    assert shapes(network, nn.AvgPool2d, MNIST) == [(10, 14, 14), (10, 7, 7)]
    assert shapes(network, nn.ELU, MNIST) == [(20, 7, 7)]


def test_a_layer_keeps_what_came_in():
    layer = DenseNet(depth=7, growth=3).layers[1]
    x = torch.rand(2, 6, 5, 5)
    y = layer(x)
    assert y.shape == (2, 9, 5, 5)
    assert torch.equal(y[:, :6], x)


def test_small_images_and_odd_sides():
    network = DenseNet(depth=7, growth=2).eval()
    for side in (4, 8, 27):
        assert network(torch.rand(2, 1, side, side)).shape == (2, 10)


def test_dropout_follows_every_convolution_but_the_first():
    network = DenseNet(dropout=0.2)
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.2] * 38


def test_the_last_activation():
    def last(**arguments):
        layers = list(DenseNet(depth=7, activation=nn.Tanh, **arguments).layers)
        return type(layers[[type(m) for m in layers].index(nn.AdaptiveAvgPool2d) - 1])

    assert last() is nn.ELU
    assert last(final_activation=None) is nn.Tanh
    assert last(final_activation=nn.ReLU) is nn.ReLU


def test_start():
    torch.manual_seed(0)
    network = DenseNet()
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
            assert module.bias is None
    linear = network.layers[-1]
    assert 0.9 < linear.weight.abs().max() / (6 / (456 + 10)) ** 0.5 <= 1
    assert not linear.bias.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 41}, r"`depth` to be 3 n \+ 4 with n from 1, such as 22 or 40, but got 41"),
        ({"depth": 4}, r"`depth` to be 3 n \+ 4"),
        ({"growth": 0}, "`growth` to be at least 1, but got 0"),
        ({"in_channels": 0}, "`in_channels` to be at least 1, but got 0"),
        ({"compression": 0.0}, r"`compression` to be in \(0, 1\], but got 0.0"),
        ({"compression": 1.1}, r"`compression` to be in \(0, 1\], but got 1.1"),
        ({"compression": 0.001}, "`compression` to keep a channel of 168, but got 0.001"),
        ({"dropout": 1.0}, r"`dropout` to be in \[0, 1\), but got 1.0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        DenseNet(**arguments)
