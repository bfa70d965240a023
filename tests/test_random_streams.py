"""Random numbers of a sample: which, how they are spread, and that nobody else's matter."""

import pytest
import torch
from scipy import stats

from robust.random_streams import RandomStreams, _splitmix64, _table, sample_seeds


def test_the_hash_is_splitmix64():
    def reference(x):
        mask = 2**64 - 1
        z = (x + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    for x in (0, 1, 12345, 2**62):
        given = torch.tensor([x])
        assert _splitmix64(given).item() % 2**64 == reference(x)
        assert given.item() == x
    assert reference(0) == 0xE220A8397B1DCDAF  # published test vector


def test_numbers_are_uniform_and_normal():
    streams = RandomStreams(sample_seeds(3, torch.arange(50)))
    uniform, normal = streams.uniform(400).flatten(), streams.normal(400).flatten()
    assert stats.kstest(uniform.numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(normal.numpy(), "norm").pvalue > 0.01
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert set(streams.sign(100).flatten().tolist()) == {-1.0, 1.0}


def test_both_numbers_of_a_pair_are_independent_normals():
    first, second = RandomStreams(torch.arange(4)).normal(10_000).view(4, 2, 5_000).unbind(dim=1)
    assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 0.03
    squares = torch.corrcoef(torch.stack([first.flatten() ** 2, second.flatten() ** 2]))
    assert abs(squares[0, 1]) < 0.03
    assert stats.kstest(second.flatten().numpy(), "norm").pvalue > 0.01


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 5), (2, 3, 4)])
def test_normals_have_the_shape_asked_for(shape):
    assert RandomStreams(torch.arange(7)).normal(*shape).shape == (7, *shape)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_normals_are_the_same_however_many_are_taken_at_a_time(size):
    together, apart = RandomStreams(torch.arange(3)), RandomStreams(torch.arange(3))
    rows = [apart.normal(size) for _ in range(4)]
    assert_same_normals(together.normal(4, size), torch.stack(rows, dim=1))


def test_windows_are_normal_and_do_not_repeat_or_agree():
    streams = RandomStreams(sample_seeds(3, torch.arange(30)))
    windows = torch.stack([streams.window(700) for _ in range(3)], dim=1)
    assert windows.shape == (30, 3, 700)
    assert stats.kstest(windows.flatten().numpy(), "norm").pvalue > 0.01
    correlations = torch.corrcoef(windows.flatten(0, 1)) - torch.eye(90)
    assert correlations.abs().max() < 0.25  # of 4005 pairs, six deviations


def test_windows_start_at_every_part_of_the_table():
    streams, table = (
        RandomStreams(sample_seeds(1, torch.arange(400))),
        _table(1, torch.device("cpu")),
    )
    values, place = table.sort()
    found = place[torch.searchsorted(values, streams.window(1).flatten())]
    assert stats.kstest(found.numpy() / 2**20, "uniform").pvalue > 0.01


def test_a_samples_windows_do_not_depend_on_the_others_or_their_size():
    seeds = sample_seeds(0, torch.arange(10))
    together, alone, longer = (
        RandomStreams(seeds),
        RandomStreams(seeds[[7, 2]]),
        RandomStreams(seeds),
    )
    first, second = together.window(5), together[torch.tensor([7, 2])].window(5)
    assert torch.equal(alone.window(5), first[[7, 2]])
    assert torch.equal(alone.window(5), second)
    assert_same_normals(longer.window(900)[:, :5], first)


def test_streams_do_not_repeat_or_agree():
    streams = RandomStreams(torch.arange(20))
    first, second = streams.uniform(30), streams.uniform(30)
    assert len(torch.cat([first, second]).unique()) > 0.99 * 1200
    correlations = torch.corrcoef(first) - torch.eye(20)
    assert correlations.abs().max() < 0.75


def test_a_samples_numbers_do_not_depend_on_the_others():
    seeds = sample_seeds(0, torch.arange(10))
    together = RandomStreams(seeds)
    early = together.uniform(3)
    rest = together[torch.tensor([7, 2])].normal(2, 2)
    alone = RandomStreams(seeds[[7, 2]])
    assert torch.equal(alone.uniform(3), early[[7, 2]])
    assert_same_normals(alone.normal(2, 2), rest)


def assert_same_normals(first, second):
    """As far as is promised: the hardware rounds logarithms and cosines."""
    torch.testing.assert_close(first, second, rtol=0, atol=2e-6)
