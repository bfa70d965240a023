"""APGD in L1: the exact distance of the linear oracle, sparse steps, and eps at the end."""

import pytest
import torch

from robust.attacks import APGD, craft, sample_seeds
from robust.attacks.gradient.climbs import SparseClimb
from robust.threat import ThreatModel, distance
from tests.attacks.minimal.test_nearest import Uneven
from tests.support.oracles import LinearOracle


def attacked(oracle, eps, **arguments):
    x, y = oracle.samples(8)
    seeds = sample_seeds(0, torch.arange(8))
    attack = lambda m: APGD(m, eps, norm="L1", loss="margin", **arguments)  # noqa: E731
    x_adv = craft(attack, oracle, x, y, sample_seeds=seeds).x_adv
    ThreatModel("L1", eps).check(x, x_adv, "apgd")
    return x, x_adv, oracle(x_adv).argmax(dim=1) != y


@pytest.mark.parametrize("oracle", [LinearOracle(3), Uneven()])
def test_oracle(oracle):
    exact = 0.8 if type(oracle) is LinearOracle else oracle.exact("L1")
    for factor, expected in ((0.95, False), (1.05, True)):
        _, _, misclassified = attacked(oracle, factor * exact, steps=50)
        assert (misclassified == expected).all()


def test_no_success_of_the_wider_balls_counts():
    """At three times eps every image is misclassified, and at eps none is."""
    oracle = LinearOracle(3)
    _, _, misclassified = attacked(oracle, 0.4, steps=20)
    assert not misclassified.any()
    assert attacked(oracle, 1.2, steps=20)[2].all()


def test_what_is_left_is_sparse():
    x, x_adv, _ = attacked(Uneven(), 0.1, steps=50)
    assert (distance(x, x_adv, "L0") <= 3).all()


def test_few_values_change_at_a_step_and_fewer_later():
    x = torch.full((1, 1, 5, 5), 0.5)
    climb = SparseClimb(x, (x + 0.1), 1.0)
    climb.see(torch.zeros(1), torch.arange(1.0, 26).view_as(x))
    climb.move(lambda _, moved: moved, first=True)
    moved = (climb.now - x - 0.1).flatten()
    # 25 values were changed: at most that by 1.5, those of the largest slopes.
    assert (moved > 1e-3).sum() == 17
    assert (moved[-17:] > 1e-3).all()
    assert moved.sum().item() == pytest.approx(1.0, abs=1e-4)
