"""Strong: the oracle's distance, and which images it drops, asks Square about, or goes on with."""

import pytest
import torch
from torch import nn

from robust.attacks import Square, Strong, craft, sample_seeds
from robust.attacks.strong import _Climb
from robust.attacks.views import straight_through
from robust.errors import ConfigError
from robust.threat import ThreatModel
from robust.transforms import FeatureSqueezing
from tests.support.oracles import LinearOracle


def crafted(network, x, y, eps, norm="Linf", **arguments):
    seeds = sample_seeds(0, torch.arange(len(x)))
    result = craft(
        lambda m: Strong(m, eps, norm, **{"queries": 30, **arguments}),
        network,
        x,
        y,
        sample_seeds=seeds,
    )
    ThreatModel(norm, eps).check(x, result.x_adv, "strong")
    return result


@pytest.fixture
def asked(monkeypatch):
    """How many images Square is asked about."""
    counts, original = [], Square.forward

    def forward(self, images, labels):
        counts.append(len(images))
        return original(self, images, labels)

    monkeypatch.setattr(Square, "forward", forward)
    return counts


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_oracle(classes, norm):
    oracle = LinearOracle(classes)
    x, y = oracle.samples(16)
    exact = oracle.budget(norm)
    below, above = (crafted(oracle, x, y, factor * exact, norm) for factor in (0.95, 1.05))
    assert torch.equal(oracle(below.x_adv).argmax(dim=1), y)
    assert torch.equal(oracle(above.x_adv).argmax(dim=1), 1 - y)
    assert not above.dropped.any()


def test_an_image_far_from_the_boundary_is_dropped_after_the_first_rounds(asked):
    oracle = LinearOracle(4)
    x, y = oracle.samples(6)
    # A quarter of the way: three times as much is lacking as was gained.
    far = crafted(oracle, x, y, oracle.budget("Linf") / 4)
    assert far.dropped.all()
    assert asked == []
    kept = crafted(oracle, x, y, oracle.budget("Linf") / 4, patience=4.0)
    # Of those the second stage drops what is not nearly misclassified.
    assert kept.dropped.all()
    assert kept.forwards > far.forwards
    never = crafted(oracle, x, y, oracle.budget("Linf") / 4, patience=None)
    assert not never.dropped.any()
    assert never.forwards > kept.forwards
    assert asked == [6]


def test_nothing_is_dropped_behind_a_quantizing_transform():
    oracle = LinearOracle(4)
    x, y = oracle.samples(6)
    view = straight_through(FeatureSqueezing(5), oracle)
    eps = oracle.budget("L2") / 4
    assert not crafted(view, x, y, eps, "L2").dropped.any()
    assert crafted(oracle, x, y, eps, "L2").dropped.all()


class Steps(nn.Module):
    """An oracle without a gradient."""

    def __init__(self):
        super().__init__()
        self.oracle = LinearOracle(4)

    def forward(self, x):
        return self.oracle(x).mul(20).round().div(20).detach() + 0 * self.oracle(x)


def test_square_gets_what_gradients_do_not_move(asked):
    network = Steps()
    x, y = network.oracle.samples(12)
    found = crafted(network, x, y, 3 * network.oracle.budget("Linf"), queries=200)
    # Random starts succeed on some; the others are dropped, unless Square succeeds.
    assert len(asked) == 1
    assert 0 < asked[0] <= 12
    predicted = network(found.x_adv).argmax(dim=1)
    assert (predicted != y).float().mean() > 0.7
    assert not (found.dropped & (predicted != y)).any()


def test_an_image_leaves_at_its_first_success(monkeypatch):
    oracle = LinearOracle(4)
    x, y = oracle.samples(8)
    sizes, original = [], _Climb.__init__

    def spy(self, rows, *rest):
        sizes.append(len(rows))
        original(self, rows, *rest)

    monkeypatch.setattr(_Climb, "__init__", spy)
    crafted(oracle, x, y, 2 * oracle.budget("Linf"))
    assert sizes == [8]


class Tilted(nn.Module):
    """A view that misclassifies images of class 0, where the oracle does not."""

    def __init__(self, oracle):
        super().__init__()
        self.oracle = oracle

    def forward(self, x):
        return self.oracle(x) + torch.tensor([0.0, 1.5, 0.0, 0.0])


def test_an_image_that_only_the_view_misclassifies_is_attacked():
    oracle = LinearOracle(4)
    x, y = (part[::2] for part in oracle.samples(8))
    view = Tilted(oracle)
    assert (view(x).argmax(dim=1) != y).all()
    eps = 1.2 * oracle.budget("Linf")
    seeds = sample_seeds(0, torch.arange(4))
    x_adv = craft(lambda m: Strong(m, eps), view, x, y, sample_seeds=seeds, judge=oracle).x_adv
    assert (oracle(x_adv).argmax(dim=1) != y).all()


def test_images_for_another_network_use_all_steps():
    oracle = LinearOracle(4)
    x, y = oracle.samples(4)
    eps = 2 * oracle.budget("Linf")
    attack = Strong(oracle, eps)
    attack.transferred = True
    torch.manual_seed(0)
    x_adv = attack(x, y)
    # The largest change of the margin that eps allows.
    reach = (oracle(x_adv) - oracle(x))[:, 1].abs()
    assert torch.allclose(reach, eps * oracle.w.abs().sum(), rtol=0.02)
    assert not attack.dropped.any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"patience": -1.0}, "`patience`"), ({"queries": 1}, "`queries`")],
)
def test_arguments_are_checked(arguments, said):
    with pytest.raises(ConfigError, match=said):
        Strong(LinearOracle(), 0.1, **arguments)


class Walled(nn.Module):
    """Class 1 is near one edge of the ball; from the middle, slopes lead to the other edge."""

    def __init__(self):
        super().__init__()
        self.way = LinearOracle().w

    def forward(self, x):
        s = (x.flatten(1) - 0.5) @ self.way / self.way.abs().sum()
        gap = torch.where(s < 0.045, -0.16 - 0.8 * s, 20 * (s - 0.045) - 0.196)
        return torch.stack([0 * s, gap], dim=1)


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.1), ("L2", 0.45)])
def test_some_starts_come_from_beyond_the_ball(norm, eps, monkeypatch):
    network = Walled()
    x, y = torch.full((16, 1, 5, 5), 0.5), torch.zeros(16, dtype=torch.long)

    def found():
        x_adv = crafted(network, x, y, eps, norm, queries=2).x_adv
        return int((network(x_adv).argmax(dim=1) == 1).sum())

    far = found()
    monkeypatch.setattr("robust.attacks.strong.far_images", lambda x, *_: x)
    assert far >= found() + 3
