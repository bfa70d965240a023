"""Randomized smoothing against numbers worked out by hand and a network whose radius is known."""

import math

import pytest
import torch
from scipy.stats import binom
from torch import nn

from robust.errors import ConfigError
from robust.measures.certify import (
    ABSTAINED,
    Certificates,
    Smoothed,
    certified_accuracy,
    certified_radius,
    lower_bound,
)
from robust.results.metrics import Rate

SIGMA = 0.25


class Halves(nn.Module):
    """Class 1 where the mean of the pixels is above one half; counts what it sees."""

    def __init__(self, pixels=4):
        super().__init__()
        self.pixels, self.sizes, self.modes, self.seen = pixels, [], [], []

    def forward(self, x):
        self.sizes.append(len(x))
        self.modes.append(self.training)
        self.seen.append(x)
        score = x.flatten(1).mean(dim=1, keepdim=True) - 0.5
        return torch.cat([torch.zeros_like(score), score], dim=1)

    def radius(self, x):
        """Distance to the hyperplane, which is the smoothed classifier's radius too."""
        return (x.flatten(1).mean(dim=1) - 0.5).abs() * math.sqrt(self.pixels)


def inputs(*means):
    x = torch.tensor(means).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    return x, torch.arange(len(means))


def test_a_bound_from_hits_alone_is_a_root():
    # All of n: p^n = alpha.
    assert lower_bound(1000, 1000, 0.001) == pytest.approx(0.001 ** (1 / 1000), rel=1e-9)
    assert lower_bound(100, 100, 0.05) == pytest.approx(0.9704870, abs=1e-7)
    # One of n: 1 - (1 - p)^n = alpha.
    assert lower_bound(1, 10, 0.05) == pytest.approx(1 - 0.95 ** (1 / 10), rel=1e-9)
    assert lower_bound(0, 10, 0.05) == 0


@pytest.mark.parametrize(("hits", "n", "alpha"), [(990, 1000, 0.001), (7, 10, 0.05), (3, 40, 0.01)])
def test_the_bound_is_that_of_clopper_and_pearson(hits, n, alpha):
    p = lower_bound(hits, n, alpha)
    assert binom.sf(hits - 1, n, p) == pytest.approx(alpha, rel=1e-6)


def test_radii_by_hand():
    # Phi^-1(0.001^(1/1000)) = Phi^-1(0.99311605) = 2.46326
    assert certified_radius(1000, 1000, 0.5, 0.001) == pytest.approx(0.5 * 2.46326, abs=1e-5)
    # Phi^-1(0.05^(1/100)) = Phi^-1(0.9704870) = 1.88800
    assert certified_radius(100, 100, 1.0, 0.05) == pytest.approx(1.88800, abs=1e-5)
    assert certified_radius(0, 100, 1.0, 0.05) == 0
    # 52 of 100 are more than half, but not surely.
    assert certified_radius(52, 100, 1.0, 0.05) == 0


def test_the_radius_of_a_linear_network_is_never_exceeded_and_nearly_reached():
    x, index = inputs(*torch.linspace(0.3, 0.7, 41).tolist())
    network = Halves()
    result = Smoothed(network, SIGMA, batch=4000).certify(x, index, n0=50, n=8000)
    true = network.radius(x).double()
    sure = result.prediction != ABSTAINED
    assert (result.radius <= true).all()
    assert torch.equal(result.prediction[sure], (x.mean(dim=(1, 2, 3)) > 0.5).long()[sure])
    # Phi^-1(p) has a standard error of 0.02 sigma there, and 3.1 of them are given up.
    middle = (true > 0.05) & (true < 0.3)
    assert middle.sum() > 20
    assert (result.radius > true - 0.03)[middle].all()


def test_it_abstains_at_the_boundary_only():
    x, index = inputs(0.5, 0.9, 0.1)
    smoothed = Smoothed(Halves(), SIGMA)
    result = smoothed.certify(x, index)
    assert result.prediction.tolist() == [ABSTAINED, 1, 0]
    assert result.radius[0] == 0
    assert smoothed.predict(x, index).tolist() == [ABSTAINED, 1, 0]


class Alternating(nn.Module):
    """Class 0 for the first ``hits`` images that it sees, then the other classes in turn."""

    def __init__(self, hits, others=2):
        super().__init__()
        self.left, self.others = hits, others

    def forward(self, x):
        first = min(self.left, len(x))
        self.left -= first
        classes = torch.cat([torch.zeros(first), 1 + torch.arange(len(x) - first) % self.others])
        return nn.functional.one_hot(classes.long(), 3).float()


@pytest.mark.parametrize(("hits", "n", "expected"), [(5, 5, ABSTAINED), (6, 6, 0), (9, 13, 0)])
def test_prediction_is_a_two_sided_test_of_the_two_most_frequent(hits, n, expected):
    # 2 / 2^5 = 0.0625 > 0.05 >= 2 / 2^6; 9 to 2 (and 2): 2 * (1 + 11 + 55) / 2^11 = 0.065.
    x, index = inputs(0.5)
    alpha = 0.07 if n == 13 else 0.05
    assert Smoothed(Alternating(hits), SIGMA, alpha).predict(x, index, n).tolist() == [expected]
    if n == 13:
        result = Smoothed(Alternating(hits), SIGMA, 0.06).predict(x, index, n)
        assert result.tolist() == [ABSTAINED]


def test_the_class_comes_from_other_samples_than_its_bound():
    x, index = inputs(0.5)
    # The first 10 are of class 0, and all that count of class 1.
    result = Smoothed(Alternating(10, others=1), SIGMA, 0.05).certify(x, index, n0=10, n=100)
    assert result.prediction.tolist() == [ABSTAINED]


@pytest.mark.parametrize("batch", [1, 3, 7, 64, 10000])
def test_no_result_depends_on_the_batch(batch):
    x, index = inputs(0.45, 0.5, 0.53, 0.6)
    expected = Smoothed(Halves(), SIGMA, seed=3).certify(x, index, n0=10, n=60)
    network = Halves()
    result = Smoothed(network, SIGMA, seed=3, batch=batch).certify(x, index, n0=10, n=60)
    assert torch.equal(result.radius, expected.radius)
    assert max(network.sizes) <= batch
    alone = Smoothed(Halves(), SIGMA, seed=3, batch=batch).certify(x[2:], index[2:], 10, 60)
    assert torch.equal(alone.radius, expected.radius[2:])


def test_the_noise_is_unclipped_gaussian_and_of_the_seed():
    x, index = inputs(0.9)

    def noise(seed):
        network = Halves()
        Smoothed(network, SIGMA, seed=seed).predict(x, index, 4000)
        return torch.cat(network.seen) - x

    first = noise(0)
    assert first.mean().item() == pytest.approx(0, abs=4 * SIGMA / 16000**0.5)
    assert first.std().item() == pytest.approx(SIGMA, rel=0.03)
    assert (x + first).max() > 1.3
    assert torch.equal(noise(0), first)
    assert not torch.equal(noise(1), first)


def test_everything_is_left_as_it_was():
    x, index = inputs(0.9)
    network = Halves().train()
    state = torch.get_rng_state()
    Smoothed(network, SIGMA).certify(x, index)
    assert network.training
    assert not any(network.modes)
    assert torch.equal(torch.get_rng_state(), state)


def test_certified_accuracy_counts_correct_ones_that_reach_the_radius():
    certificates = Certificates(
        torch.tensor([1, 1, 0, ABSTAINED]),
        torch.tensor([0.5, 0.2, 0.9, 0.0], dtype=torch.float64),
    )
    rates = certified_accuracy(certificates, torch.tensor([1, 1, 1, 1]), [0.0, 0.2, 0.3, 0.6])
    assert rates == [Rate(2, 4), Rate(2, 4), Rate(1, 4), Rate(0, 4)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma": 0.0}, "`sigma` to be positive and finite, but got 0.0"),
        ({"sigma": -0.1}, "`sigma` to be positive and finite, but got -0.1"),
        ({"sigma": math.inf}, "`sigma` to be positive and finite, but got inf"),
        ({"sigma": math.nan}, "`sigma` to be positive and finite, but got nan"),
        ({"alpha": 0.0}, r"`alpha` in \(0, 1\), but got 0.0"),
        ({"alpha": 1.0}, r"`alpha` in \(0, 1\), but got 1.0"),
        ({"batch": 0}, "`batch` to be at least 1, but got 0"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Smoothed(Halves(), **{"sigma": SIGMA, **arguments})


def test_numbers_of_samples_out_of_range():
    smoothed, (x, index) = Smoothed(Halves(), SIGMA), inputs(0.9)
    with pytest.raises(ConfigError, match="`n0` to be at least 1, but got 0"):
        smoothed.certify(x, index, n0=0)
    for call in (smoothed.certify, smoothed.predict):
        with pytest.raises(ConfigError, match="`n` to be at least 1, but got 0"):
            call(x, index, n=0)
