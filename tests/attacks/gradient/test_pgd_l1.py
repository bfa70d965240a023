"""PGD in L1: the exact distance of linear oracles, the authors' step, and uniform starts."""

import numpy as np
import pytest
import torch

from robust.attacks import PGD, craft, sample_seeds
from robust.attacks.gradient.sparse import l1_noise, slide
from robust.random_streams import RandomStreams
from robust.threat import ThreatModel, distance
from tests.attacks.minimal.test_nearest import Uneven
from tests.support.oracles import LinearOracle


def attacked(oracle, eps, **arguments):
    x, y = oracle.samples(4)
    seeds = sample_seeds(0, torch.arange(4))
    attack = lambda m: PGD(m, eps, norm="L1", loss="margin", **arguments)  # noqa: E731
    x_adv = craft(attack, oracle, x, y, sample_seeds=seeds).x_adv
    ThreatModel("L1", eps).check(x, x_adv, "pgd")
    return x, x_adv, oracle(x_adv).argmax(dim=1) != y


@pytest.mark.parametrize("oracle", [LinearOracle(3), Uneven()])
@pytest.mark.parametrize("start", [True, False])
def test_oracle(oracle, start):
    exact = 0.8 if type(oracle) is LinearOracle else oracle.exact("L1")
    given = {"steps": 50, "restarts": 2, "random_start": start}
    for factor, expected in ((0.95, False), (1.05, True)):
        _, _, misclassified = attacked(oracle, factor * exact, **given)
        assert (misclassified == expected).all()


def test_what_is_left_is_sparse():
    """The steepest way is one pixel, and all else of a start at random is given up."""
    oracle = Uneven()
    x, x_adv, _ = attacked(oracle, 0.9 * oracle.exact("L1"))
    assert (distance(x, x_adv, "L0") == 1).all()


def authors(gradient, q):
    """The step of cleverhans' `sparse_l1_descent`, which is by the authors of the paper.

    https://github.com/cleverhans-lab/cleverhans/blob/c929a77a74990d45f8aefa0de3f0f228826ca693
    """
    steps = []
    for slopes in gradient.numpy():
        size = np.abs(slopes)
        kept = size >= np.sort(size.ravel())[q * size.size // 100]
        steps.append(np.sign(slopes) * kept / kept.sum())
    return torch.tensor(np.stack(steps)).float()


def test_a_step_is_that_of_the_authors():
    gradient = torch.randn(5, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    inside = torch.full_like(gradient, 0.5)
    step = slide(gradient, inside)
    torch.testing.assert_close(step, authors(gradient, 99))
    assert step.ne(0).flatten(1).sum(dim=1).tolist() == [3] * 5


def test_a_step_has_no_value_that_cannot_move():
    gradient = torch.arange(1.0, 101).view(1, 1, 10, 10)
    x_adv = torch.full_like(gradient, 0.5)
    x_adv[0, 0, 9, 9] = 1
    assert slide(gradient, x_adv).nonzero().tolist() == [[0, 0, 9, 8]]
    x_adv[0, 0, 9, 9] = 0
    assert slide(gradient, x_adv).nonzero().tolist() == [[0, 0, 9, 9]]
    assert slide(-gradient, x_adv).nonzero().tolist() == [[0, 0, 9, 8]]
    assert not slide(torch.zeros_like(gradient), x_adv).any()


def test_starts_are_uniform_in_the_ball():
    streams = RandomStreams(sample_seeds(0, torch.arange(4000)))
    noise = l1_noise(streams, torch.zeros(4000, 1, 2, 2)).flatten(1)
    length = noise.abs().sum(dim=1)
    assert length.max() <= 1 + 1e-6
    # The share within a radius r is r to the fourth power, in four dimensions.
    for radius in (0.6, 0.8, 0.9):
        assert (length < radius).float().mean().item() == pytest.approx(radius**4, abs=0.03)
    assert noise.mean(dim=0).abs().max() < 0.02
    assert (noise.abs().mean(dim=0) - 0.2).abs().max() < 0.02
