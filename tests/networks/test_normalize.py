"""Normalization as a layer: values, state, and the networks that take it."""

import pytest
import torch

from robust.errors import ConfigError
from robust.networks import DenseNet, Normalize, ResNet

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.5)


def test_values():
    x = torch.full((2, 3, 4, 4), 0.5)
    y = Normalize(MEAN, STD)(x)
    assert y.shape == x.shape
    assert y[1, :, 2, 3].tolist() == pytest.approx([0, 0.5, 0.4])


def test_inverse():
    x, normalize = torch.rand(2, 3, 4, 4), Normalize(MEAN, STD)
    torch.testing.assert_close(normalize.inverse(normalize(x)), x)
    assert normalize.inverse(torch.full((1, 3, 1, 1), -9.0)).flatten().tolist() == pytest.approx(
        [-1.75, -1.4, -4.2]
    )


def test_it_is_part_of_the_state():
    assert set(Normalize(MEAN, STD).state_dict()) == {"mean", "std"}


@pytest.mark.parametrize(("network", "depth"), [(ResNet, 8), (DenseNet, 7)])
def test_it_is_the_first_layer(network, depth):
    x, normalize = torch.rand(2, 3, 32, 32), Normalize(MEAN, STD)
    torch.manual_seed(0)
    plain = network(depth=depth, in_channels=3).eval()
    torch.manual_seed(0)
    normalized = network(depth=depth, in_channels=3, normalize=normalize).eval()
    assert torch.equal(normalized(x), plain(normalize(x)))
    assert not torch.equal(normalized(x), plain(x))


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5,), (0.2, 0.2), "one number a channel, but got 1 and 2"),
        ((), (), "one number a channel, but got 0 and 0"),
        ((0.5, 0.5), (0.2, 0.0), r"every `std` to be positive, but got \[0.2, 0.0\]"),
    ],
)
def test_bad_arguments(mean, std, message):
    with pytest.raises(ConfigError, match=message):
        Normalize(mean, std)
