"""The pointwise attack: few pixels, each of them needed."""

import pytest
import torch
from torch import nn

from robust.attacks import Pointwise, craft, sample_seeds
from robust.errors import ConfigError
from robust.threat import distance


class Count(nn.Module):
    """Class 1 where at least ``bright`` pixels are above a half; scores without a gradient."""

    def __init__(self, bright):
        super().__init__()
        self.bright = bright

    def forward(self, x):
        bright = (x > 0.5).any(dim=1).flatten(1).sum(dim=1) >= self.bright
        return torch.stack([~bright, bright], dim=1).float() + 0 * x.sum()


def attacked(model, x, y, **arguments):
    seeds = sample_seeds(0, torch.arange(len(x)))
    return craft(lambda m: Pointwise(m, **arguments), model, x, y, sample_seeds=seeds).x_adv


@pytest.fixture
def dark():
    x = 0.4 * torch.rand(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    return x, torch.zeros(6, dtype=torch.int64)


@pytest.mark.parametrize("bright", [1, 5, 30])
def test_finds_the_fewest_pixels(bright, dark):
    x, y = dark
    x_adv = attacked(Count(bright), x, y, repetitions=1)
    assert Count(bright)(x_adv).argmax(dim=1).tolist() == [1] * 6
    # Any `bright` pixels are enough and no fewer, so what cannot go back is the optimum.
    assert distance(x, x_adv, "L0").tolist() == [bright] * 6
    changed = x_adv[(x_adv != x).any(dim=1, keepdim=True).expand_as(x)]
    assert set(changed.tolist()) == {1.0}


def test_no_changed_pixel_can_go_back():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 20), nn.ReLU(), nn.Linear(20, 3)).eval()
    x = torch.rand(8, 1, 6, 6)
    y = network(x).argmax(dim=1)
    x_adv = attacked(network, x, y)
    misclassified = (network(x_adv).argmax(dim=1) != y).nonzero().flatten()
    assert len(misclassified) > 4
    for i in misclassified.tolist():
        for pixel in (x_adv[i] != x[i]).nonzero():
            back = x_adv[i : i + 1].clone()
            back[0, *pixel] = x[i, *pixel]
            assert network(back).argmax(dim=1) == y[i]


def test_more_repetitions_find_no_more_pixels():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 20), nn.ReLU(), nn.Linear(20, 3)).eval()
    x = torch.rand(20, 1, 6, 6)
    y = network(x).argmax(dim=1)
    one, ten = (distance(x, attacked(network, x, y, repetitions=r), "L0") for r in (1, 10))
    both = (one > 0) & (ten > 0)
    assert (ten[both] <= one[both]).all()
    assert ten.sum() < one.sum()


def test_an_image_that_stays_right_under_noise_comes_back(dark):
    x, y = dark
    assert torch.equal(attacked(Count(65), x, y, repetitions=2, levels=10), x)


@pytest.mark.parametrize("argument", ["repetitions", "levels"])
def test_bad_arguments(argument):
    with pytest.raises(ConfigError, match=f"`{argument}` to be at least 1, but got 0"):
        Pointwise(nn.Identity(), **{argument: 0})
