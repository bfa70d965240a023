"""Operator norms against the dense matrices of the layers."""

import math
import time

import pytest
import torch
from torch import nn

from robust.errors import ConfigError
from robust.measures import lipschitz
from robust.measures.lipschitz import (
    OperatorNorm,
    convolution_norm,
    norm_table,
    operator_norms,
    product_bound,
)
from robust.networks import DenseNet


def convolution(seed=0, **arguments):
    torch.manual_seed(seed)
    usual = {"in_channels": 3, "out_channels": 4, "kernel_size": 3, "bias": False}
    return nn.Conv2d(**usual | arguments)


def circular(layer):
    """The layer behind circular padding that keeps the size; its side makes no difference."""
    (h, w), (dh, dw) = layer.kernel_size, layer.dilation
    return nn.Sequential(nn.CircularPad2d((0, dw * (w - 1), 0, dh * (h - 1))), layer)


@torch.no_grad()
def dense_norm(module, channels, size):
    """From the matrix whose columns are the answers to unit vectors."""
    units = torch.eye(channels * size[0] * size[1]).view(-1, channels, *size)
    columns = module(units).flatten(1).double()
    return torch.linalg.matrix_norm(columns, 2).item()


@pytest.mark.parametrize("size", [(8, 8), (4, 6)], ids=str)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"out_channels": 2},
        {"kernel_size": 1},
        {"kernel_size": (1, 3)},
        {"kernel_size": 2, "stride": (1, 2)},
        {"stride": 2},
        {"stride": 2, "kernel_size": 1},
        {"stride": 2, "out_channels": 20},
        {"dilation": 2},
        {"dilation": (1, 2), "stride": 2},
        {"in_channels": 4, "out_channels": 6, "groups": 2},
        {"in_channels": 4, "groups": 4, "stride": 2},
    ],
    ids=str,
)
def test_norm_with_circular_padding_is_exact(arguments, size):
    layer = convolution(**arguments)
    expected = dense_norm(circular(layer), layer.in_channels, size)
    assert convolution_norm(layer, size) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_norm_scales_with_the_weights(scale):
    layer = convolution()
    expected = scale * convolution_norm(layer, (8, 8))
    with torch.no_grad():
        layer.weight.mul_(scale)
    assert convolution_norm(layer, (8, 8)) == pytest.approx(expected, rel=2e-5)


def test_norms_known_by_hand():
    delta, zero = convolution(in_channels=2, out_channels=2), convolution()
    nn.init.dirac_(delta.weight)
    nn.init.zeros_(zero.weight)
    assert convolution_norm(delta, (5, 5)) == pytest.approx(1.0)
    assert convolution_norm(zero, (5, 5)) == 0.0
    ones = convolution(in_channels=1, out_channels=1)
    nn.init.ones_(ones.weight)
    assert convolution_norm(ones, (5, 5)) == pytest.approx(9.0)
    # Around a map of one pixel all nine taps meet.
    assert convolution_norm(ones, (1, 1)) == pytest.approx(9.0)


def test_chunks_of_frequencies_are_put_together(monkeypatch):
    layer = convolution(stride=(1, 2))
    exact = convolution_norm(layer, (8, 8))
    monkeypatch.setattr(lipschitz, "_CHUNK", 1)
    assert convolution_norm(layer, (8, 8)) == pytest.approx(exact)


ZERO_PADDED = [
    {"padding": 1},
    {"padding": 1, "stride": 2},
    {"padding": 2, "dilation": 2},
    {"padding": 0},
    {"padding": 2, "kernel_size": 5, "stride": (2, 1)},
]


@pytest.mark.parametrize("arguments", ZERO_PADDED, ids=str)
def test_with_zeros_it_is_a_bound_on_a_map_enlarged_by_the_padding(arguments):
    for seed in range(5):
        layer = convolution(seed, **arguments)
        for n in (2, 5, 7):
            if n + 2 * layer.padding[0] <= layer.dilation[0] * (layer.kernel_size[0] - 1):
                continue
            enlarged = n + layer.padding[0]
            bound = convolution_norm(layer, (enlarged, enlarged))
            assert dense_norm(layer, layer.in_channels, (n, n)) <= bound * (1 + 1e-5)


def test_with_zeros_it_is_no_bound_on_the_map_itself():
    # On a circle of two, left and right neighbour are the same pixel, and cancel.
    layer = convolution(in_channels=1, out_channels=1, kernel_size=(1, 3), padding=(0, 1))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 0.0, -1.0]))
    assert convolution_norm(layer, (2, 2)) == pytest.approx(0.0, abs=1e-6)
    assert convolution_norm(layer, (2, 3)) == pytest.approx(math.sqrt(3))
    assert dense_norm(layer, 1, (2, 2)) == pytest.approx(1.0)


def test_with_zeros_both_come_together_on_large_maps():
    layer = convolution(in_channels=1, padding=1)
    gaps = [
        abs(convolution_norm(layer, (n, n)) / dense_norm(layer, 1, (n, n)) - 1) for n in (4, 24)
    ]
    assert gaps[1] < 0.01 < gaps[0]


def test_a_map_that_the_stride_does_not_divide_is_rounded_up():
    layer = convolution(stride=2)
    assert convolution_norm(layer, (7, 7)) == convolution_norm(layer, (8, 8))


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_size_is_checked(size):
    with pytest.raises(ConfigError, match="feature map of positive size, but got"):
        convolution_norm(convolution(), size)


class Network(nn.Module):
    """Calls one layer twice and another never."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.unused = nn.Conv2d(1, 1, 3)
        self.first = nn.Conv2d(1, 2, 3, padding=1, stride=2)
        self.twice = nn.Conv2d(2, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2 * 2 * 2, 3)

    def forward(self, x):
        x = self.twice(self.norm(self.first(x)).relu())
        return self.head(self.twice(nn.functional.max_pool2d(x, 2)).flatten(1))


def test_layers_are_listed_in_the_order_of_their_calls():
    network = Network()
    norms = operator_norms(network, (1, 8, 8))
    assert [norm._replace(norm=0.0) for norm in norms] == [
        OperatorNorm("first", "conv 3x3", 0.0, (8, 8)),
        OperatorNorm("twice", "conv 3x3", 0.0, (4, 4)),
        OperatorNorm("twice", "conv 3x3", 0.0, (2, 2)),
        OperatorNorm("head", "linear", 0.0, None),
    ]
    assert [norm.norm for norm in norms] == pytest.approx(
        [
            convolution_norm(network.first, (8, 8)),
            convolution_norm(network.twice, (4, 4)),
            convolution_norm(network.twice, (2, 2)),
            torch.linalg.svdvals(network.head.weight)[0].item(),
        ]
    )
    assert product_bound(norms) == pytest.approx(math.prod(norm.norm for norm in norms))


def test_the_network_is_left_as_it_was():
    network = Network().train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    operator_norms(network, (1, 8, 8))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_diverged_weights_are_named():
    network = Network()
    nn.init.constant_(network.twice.weight, float("nan"))
    with pytest.raises(ConfigError, match="finite weights, but twice has NaN"):
        operator_norms(network, (1, 8, 8))
    assert not network.twice._forward_pre_hooks


def test_a_densenet_takes_less_than_seconds():
    network = DenseNet(depth=40, growth=12, in_channels=3)
    start = time.process_time()
    norms = operator_norms(network, (3, 32, 32))
    assert time.process_time() - start < 5
    assert len(norms) == 40


NORMS = [
    OperatorNorm("conv", "conv 3x3", 2.0, (8, 8)),
    OperatorNorm("head", "linear", 3.0, None),
]


def test_table_has_a_line_a_layer_and_the_product_last():
    other = [NORMS[0]._replace(norm=5.0), OperatorNorm("later", "linear", 0.5, None)]
    grid = norm_table({"a": NORMS, "b": other})
    assert grid.header == ["layer", "kind", "feature map", "a", "b"]
    assert grid.rows == [
        ["conv", "conv 3x3", "8x8", "2", "5"],
        ["head", "linear", "", "3", "none"],
        ["later", "linear", "", "none", "0.5"],
        ["product", "", "", "6", "2.5"],
    ]
