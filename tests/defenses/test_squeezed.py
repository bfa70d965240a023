"""Squeezed outputs: the bounds and floors of the paper, temperature, ties, masking."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robust.defenses import Squeezed
from robust.errors import ConfigError
from robust.evaluation.masking_signs import has_tie, has_zero_gradient


class Logits(nn.Module):
    """Passes the first row of pixels on as logits, times ``scale``."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return self.scale * (x[:, 0, 0, :10] - 0.5)


def squeezed(activation="tanh", temperature=20.0, scale=1.0):
    return Squeezed(Logits(scale), activation, temperature).eval()


def saturated(k=10):
    """One image whose logits have one large positive entry and else large negative ones."""
    x = torch.zeros(1, 1, 10, 10)
    x[0, 0, 0, 3] = 1
    return x, torch.tensor([3])


@pytest.mark.parametrize(
    ("activation", "highest", "lowest", "floor"),
    [("sigmoid", 0.23197, 0.08534, 1.4612), ("tanh", 0.45085, 0.06102, 0.7966)],
)
class TestSaturated:
    def test_softmax_of_saturated_scores(self, activation, highest, lowest, floor):
        x, _ = saturated()
        p = squeezed(activation, scale=1000.0)(x).softmax(dim=1)
        assert p[0, 3].item() == pytest.approx(highest, abs=1e-5)
        assert p[0, 4].item() == pytest.approx(lowest, abs=1e-5)

    def test_training_loss_has_a_floor(self, activation, highest, lowest, floor):
        x, y = saturated()
        loss = squeezed(activation, scale=1e5).training_loss(x, y)
        assert loss.item() == pytest.approx(floor, abs=1e-4)

    def test_deployed_gradient_is_exactly_zero_and_the_adaptive_is_not(
        self, activation, highest, lowest, floor
    ):
        x, y = saturated()
        defense = squeezed(activation, scale=300.0)
        assert has_zero_gradient(defense, x, y).all()
        assert not has_zero_gradient(defense.adaptive_view(), x, y).any()
        # Not the temperature alone: the logits themselves saturate the cross-entropy too.
        hot = Squeezed(Logits(2000.0), activation, 1.0).eval()
        assert has_zero_gradient(hot.network, x, y).any()
        assert not has_zero_gradient(hot.adaptive_view(), x, y).any()


@pytest.mark.parametrize(
    ("activation", "z", "dtype", "zero"),
    [
        ("sigmoid", 18.0, torch.float32, True),
        ("sigmoid", -110.0, torch.float32, True),
        ("sigmoid", -110.0, torch.float64, False),
        ("sigmoid", 40.0, torch.float64, True),
        ("tanh", 9.5, torch.float32, True),
        ("tanh", 9.5, torch.float64, False),
        ("tanh", 20.0, torch.float64, True),
    ],
)
def test_where_the_derivative_vanishes(activation, z, dtype, zero):
    z = torch.tensor(z, dtype=dtype, requires_grad=True)
    {"sigmoid": torch.sigmoid, "tanh": torch.tanh}[activation](z).backward()
    assert (z.grad.item() == 0) is zero


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_temperature_is_in_the_loss_and_gone_in_forward(activation):
    x = torch.rand(5, 1, 10, 10)
    y = torch.arange(5)
    cold, hot = (squeezed(activation, temperature=t, scale=9.0) for t in (1.0, 20.0))
    squeeze = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}[activation]
    z = hot.network(x)
    assert torch.equal(cold(x), hot(x))
    assert torch.equal(hot(x), squeeze(z))
    torch.testing.assert_close(hot.training_loss(x, y), F.cross_entropy(squeeze(z / 20), y))
    assert not torch.isclose(hot.training_loss(x, y), cold.training_loss(x, y))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("scale", [1.0, 3000.0])
def test_the_adaptive_view_predicts_like_the_defense_except_on_ties(activation, scale):
    x = torch.rand(200, 1, 10, 10, generator=torch.Generator().manual_seed(0))
    defense = squeezed(activation, scale=scale)
    scores = defense(x)
    same = defense.adaptive_view()(x).argmax(dim=1) == scores.argmax(dim=1)
    tied = has_tie(scores)
    assert same[~tied].all()
    # Large logits saturate float32: there must be ties to except, and wrong predictions in them.
    assert tied.any() == (scale == 3000.0)
    assert same.all() == (scale != 3000.0)


def test_the_adaptive_view_divides_by_the_temperature():
    x = torch.rand(3, 1, 10, 10)
    defense = squeezed(temperature=7.0)
    torch.testing.assert_close(defense.adaptive_view()(x) * 7, defense.network(x))
    assert defense.published_view() is defense


@pytest.mark.parametrize("temperature", [0.0, -3.0, math.nan])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ConfigError, match="Expected `temperature` to be positive"):
        squeezed(temperature=temperature)
