"""PGD with momentum: the same steps as MIFGSM, and in both norms."""

import pytest
import torch
from torch import nn

from robust.attacks import MIFGSM, PGD
from tests.support.oracles import LinearOracle


def curved():
    """A random network whose gradient turns on the way."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(25, 32), nn.Tanh(), nn.Linear(32, 3))


def test_its_steps_are_those_of_mifgsm():
    network, x = curved(), torch.rand(6, 1, 5, 5)
    y = network(x).argmax(dim=1)
    arguments = {"eps": 0.2, "alpha": 0.02, "steps": 8, "early_stop": False}
    plain, momentum = (
        PGD(network, random_start=False, decay=decay, **arguments)(x, y) for decay in (0.0, 1.0)
    )
    assert torch.equal(momentum, MIFGSM(network, decay=1.0, **arguments)(x, y))
    assert not torch.equal(momentum, plain)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_with_falling_steps_and_restarts_it_finds_what_is_there(norm):
    oracle = LinearOracle()
    x, y = oracle.samples(8)
    for share, found in ((0.95, 0), (1.05, 8)):
        attack = PGD(
            oracle,
            share * oracle.budget(norm),
            steps=50,
            norm=norm,
            restarts=2,
            loss=["margin", "log_odds"],
            falling=True,
            decay=1.0,
        )
        assert (oracle(attack(x, y)).argmax(dim=1) != y).sum() == found
