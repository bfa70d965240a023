"""Random numbers of a sample, and what our attacks refuse."""

import pytest
import torch
from scipy import stats

from robust.attacks import PGD, Draws, craft, sample_seeds
from robust.attacks.base import _splitmix64
from tests.oracles import LinearOracle


def test_the_hash_is_splitmix64():
    def reference(x):
        mask = 2**64 - 1
        z = (x + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    for x in (0, 1, 12345, 2**62):
        assert _splitmix64(torch.tensor([x])).item() % 2**64 == reference(x)
    assert reference(0) == 0xE220A8397B1DCDAF  # published test vector


def test_numbers_are_uniform_and_normal():
    draws = Draws(sample_seeds(3, torch.arange(50)))
    uniform, normal = draws.uniform(400).flatten(), draws.normal(400).flatten()
    assert stats.kstest(uniform.numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(normal.numpy(), "norm").pvalue > 0.01
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert set(draws.sign(100).flatten().tolist()) == {-1.0, 1.0}


def test_streams_do_not_repeat_or_agree():
    draws = Draws(torch.arange(20))
    first, second = draws.uniform(30), draws.uniform(30)
    assert len(torch.cat([first, second]).unique()) > 0.99 * 1200
    correlations = torch.corrcoef(first) - torch.eye(20)
    assert correlations.abs().max() < 0.75


def test_a_samples_numbers_do_not_depend_on_the_others():
    seeds = sample_seeds(0, torch.arange(10))
    together = Draws(seeds)
    early = together.uniform(3)
    rest = together[torch.tensor([7, 2])].normal(2, 2)
    alone = Draws(seeds[[7, 2]])
    assert torch.equal(alone.uniform(3), early[[7, 2]])
    assert torch.equal(alone.normal(2, 2), rest)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_results_do_not_depend_on_the_batch(norm):
    oracle = LinearOracle()
    x, y = oracle.samples(12)
    seeds = sample_seeds(1, torch.arange(12))
    attack = lambda m: PGD(m, 0.05, alpha=0.001, steps=2, norm=norm, restarts=3)  # noqa: E731
    whole = craft(attack, oracle, x, y, sample_seeds=seeds).x_adv
    parts = [
        craft(attack, oracle, x[part], y[part], seed=9, sample_seeds=seeds[part]).x_adv
        for part in (slice(0, 5), slice(5, 6), slice(6, 12))
    ]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: (x * 255).byte(), "floating-point type, but got torch.uint8"),
        (lambda x: x * 2, r"Expected images in \[0, 1\]"),
        (lambda x: x - 1, r"Expected images in \[0, 1\]"),
        (lambda x: x * float("nan"), r"Expected images in \[0, 1\]"),
    ],
)
def test_images_are_checked(change, message):
    oracle = LinearOracle()
    x, y = oracle.samples(2)
    with pytest.raises(ValueError, match=message):
        PGD(oracle)(change(x), y)
