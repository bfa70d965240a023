"""Auto-PGD: schedule, strength beside torchattacks', any scores."""

import pytest
import torch
import torchattacks
from torch import nn

from robust.attacks import APGD, craft
from robust.attacks.gradient.climbs import DenseClimb
from robust.errors import ConfigError
from robust.losses import cross_entropy
from tests.support.oracles import LinearOracle

EPS = 0.05


@pytest.fixture(scope="module")
def curved():
    torch.manual_seed(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 5)).eval()
    with torch.no_grad():
        network[1].weight.normal_()
        network[1].bias.copy_(-network[1].weight.sum(dim=1) / 2)
    x = torch.rand(60, 3, 4, 4)
    y = network(x).argmax(dim=1)
    assert len(y.unique()) == 5
    return network, x, y


def test_checkpoints_of_the_paper():
    # Section 3: p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06).
    expected = [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(DenseClimb.checkpoints(100)) == expected
    assert list(DenseClimb.checkpoints(100).values()) == [22, 19, 16, 13, 10, 7, 6, 6]
    assert list(DenseClimb.checkpoints(1)) == [1]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("loss", ["cross_entropy", "dlr"])
def test_at_least_as_strong_as_torchattacks(curved, norm, loss):
    network, x, y = curved
    eps = {"Linf": EPS, "L2": 0.25}[norm]
    name = {"cross_entropy": "ce", "dlr": "dlr"}[loss]
    ours = craft(lambda m: APGD(m, eps, 30, norm, loss), network, x, y).x_adv
    theirs = craft(
        lambda m: torchattacks.APGD(m, eps=eps, steps=30, norm=norm, loss=name), network, x, y
    ).x_adv
    misclassified = [(network(x_adv).argmax(dim=1) != y).float().mean() for x_adv in (ours, theirs)]
    assert 0.1 < misclassified[1] < 0.95
    assert misclassified[0] >= misclassified[1] - 0.02


def test_the_loss_of_robust_images_is_as_high(curved):
    network, x, y = curved
    small = 0.01
    ours = craft(lambda m: APGD(m, small, 50), network, x, y).x_adv
    plain = craft(
        lambda m: torchattacks.PGD(m, eps=small, alpha=small / 5, steps=50), network, x, y
    ).x_adv
    held = (network(ours).argmax(dim=1) == y) & (network(plain).argmax(dim=1) == y)
    assert held.sum() > 10
    with torch.no_grad():
        losses = [cross_entropy(network(x_adv), y)[held].mean() for x_adv in (ours, plain)]
    assert losses[0] >= losses[1] - 1e-4


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("n", [1, 64])
def test_oracle(classes, targeted, norm, n):
    oracle = LinearOracle(classes)
    x, y = oracle.samples(n)
    for factor, expected in ((0.9, y), (1.1, 1 - y)):
        eps = factor * oracle.budget(norm)
        target = 1 - y if targeted else None
        attack = lambda m, eps=eps: APGD(m, eps, 20, norm, "dlr")  # noqa: E731
        x_adv = craft(attack, oracle, x, y, target=target).x_adv
        assert torch.equal(oracle(x_adv).argmax(dim=1), expected)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_ratio_does_not_mind_the_scale(scale):
    oracle = LinearOracle(4, scale)
    x, y = oracle.samples(20)
    eps = 1.1 * oracle.budget("Linf")
    x_adv = craft(lambda m: APGD(m, eps, 20, loss="dlr"), oracle, x, y).x_adv
    assert torch.equal(oracle(x_adv).argmax(dim=1), 1 - y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": -0.1}, "`eps` to be non-negative"),
        ({"steps": 0}, "`steps` to be at least 1"),
        ({"restarts": 0}, "`restarts` to be at least 1"),
        ({"rank": -1}, "`rank` to be non-negative"),
    ],
)
def test_arguments_are_checked(curved, arguments, message):
    with pytest.raises(ConfigError, match=message):
        APGD(curved[0], **arguments)


def test_a_rank_is_one_of_the_other_classes(curved):
    network, x, y = curved
    assert craft(lambda m: APGD(m, EPS, 2, rank=3), network, x, y).x_adv.shape == x.shape
    with pytest.raises(ConfigError, match="below the number of other classes, which is 4, but got"):
        craft(lambda m: APGD(m, EPS, 2, rank=4), network, x, y)


def test_a_rank_is_no_target(curved):
    network, x, y = curved
    with pytest.raises(ConfigError, match="Expected no `rank` where there are targets"):
        craft(lambda m: APGD(m, EPS, 2, rank=0), network, x, y, target=(y + 1) % 5)
