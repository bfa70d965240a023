"""Residual networks: weights, stages, shortcuts, heads, start and arguments."""

import pytest
import torch
from torch import nn

from robust.errors import ConfigError
from robust.networks import ResNet
from tests.support.every_network import CIFAR, MNIST, shapes, weights


@pytest.mark.parametrize(
    ("depth", "expected"), [(20, 272_474), (32, 466_906), (56, 855_770), (110, 1_730_714)]
)
def test_parameters(depth, expected):
    n = (depth - 2) // 6
    stages = 9 * (2 * n * 16**2 + 16 * 32 + (2 * n - 1) * 32**2 + 32 * 64 + (2 * n - 1) * 64**2)
    shortcuts = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    norms = 2 * (16 + 2 * n * (16 + 32 + 64))
    by_hand = 9 * 3 * 16 + stages + shortcuts + norms + 64 * 10 + 10
    assert weights(ResNet(depth=depth)) == by_hand == expected


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_depth_counts_layers_along_the_chain(depth):
    network = ResNet(depth=depth)
    chain = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(chain) + 1 == depth
    shortcuts = [
        m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)
    ]
    assert [(m.in_channels, m.out_channels, m.stride) for m in shortcuts] == [
        (16, 32, (2, 2)),
        (32, 64, (2, 2)),
    ]


@pytest.mark.parametrize(("shape", "sides"), [(CIFAR, (32, 16, 8)), (MNIST, (28, 14, 7))])
def test_stages(shape, sides):
    network = ResNet(depth=20, in_channels=shape[0])
    wide, middle, narrow = sides
    blocks = [(16, wide, wide)] * 3 + [(32, middle, middle)] * 3 + [(64, narrow, narrow)] * 3
    assert shapes(network, type(network.body[3]), shape) == blocks


def test_a_block_adds_its_input():
    block = ResNet(depth=8).body[3].eval()
    nn.init.zeros_(block.residual[-1].weight)  # a batch norm that lets nothing through
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(block(x), torch.relu(x))


@pytest.mark.parametrize("extra_layer", [False, True])
def test_features_and_head(extra_layer):
    network, x = ResNet(depth=8, extra_layer=extra_layer).eval(), torch.rand(2, 3, 32, 32)
    features = network.features(x)
    assert features.shape == (2, 64)
    assert (features >= 0).all()
    assert torch.equal(network(x), network.head(features))


def test_extra_layer():
    heads = [ResNet(k, depth=8, extra_layer=True).head for k in (2, 10)]
    assert [layer.weight.shape for layer in heads[0]] == [(2, 64), (2, 2)]
    assert [layer.weight.shape for layer in heads[1]] == [(2, 64), (10, 2)]


def test_start():
    torch.manual_seed(0)
    convolutions = [m for m in ResNet().modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 57
    for module in convolutions:
        fan_out = module.out_channels * module.kernel_size[0] ** 2
        tolerance = 4 / (2 * module.weight.numel()) ** 0.5
        assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=tolerance)
        assert module.bias is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 18}, r"`depth` to be 6 n \+ 2 with n from 1, such as 20 or 56, but got 18"),
        ({"depth": 2}, r"`depth` to be 6 n \+ 2"),
        ({"in_channels": 0}, "`in_channels` to be at least 1, but got 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ResNet(**arguments)
