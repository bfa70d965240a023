"""APGD on a random view averages several of its calls at each step."""

import pytest
import torch
from torch import nn

from robust.attacks import APGD, craft
from robust.errors import ConfigError
from tests.support.oracles import LinearOracle


class Shaken(nn.Module):
    """A linear classifier behind noise that differs at each call and has a mean of zero."""

    def __init__(self, strength):
        super().__init__()
        self.oracle, self.strength, self.calls = LinearOracle(4), strength, 0

    def forward(self, x):
        self.calls += 1
        scores = self.oracle(x)
        # A slope of each pixel's own, which one call follows and the mean does not.
        slope = self.strength * torch.randn_like(x)
        tilt = (slope * (x - x.detach())).flatten(1).sum(dim=1)
        return scores + tilt.unsqueeze(1) * torch.tensor([1.0, -1.0, 0.0, 0.0])


def success(samples):
    view = Shaken(strength=1.5)
    x, y = view.oracle.samples(40)
    eps = 1.4 * view.oracle.budget("Linf")
    found = craft(lambda m: APGD(m, eps, steps=4, samples=samples), view, x, y)
    return (view.oracle(found.x_adv).argmax(dim=1) != y).float().mean(), view.calls


def test_the_mean_shows_the_way():
    once, calls = success(1)
    often, more_calls = success(50)
    assert often > once + 0.3
    assert more_calls >= 20 * calls


def test_a_view_that_is_not_random_has_one_answer():
    oracle = LinearOracle(4)
    x, y = oracle.samples(10)
    eps = 1.1 * oracle.budget("Linf")
    one, many = (
        craft(lambda m, k=k: APGD(m, eps, steps=5, samples=k), oracle, x, y) for k in (1, 4)
    )
    assert torch.equal(oracle(one.x_adv).argmax(dim=1), oracle(many.x_adv).argmax(dim=1))
    assert many.forwards == 4 * one.forwards


def test_there_is_at_least_one():
    with pytest.raises(ConfigError, match="`samples` to be at least 1, but got 0"):
        APGD(LinearOracle(), samples=0)
