"""FAB: its projection and its results beside torchattacks', what it drops, flat views."""

import pytest
import torch
import torchattacks
from torch import nn
from torchattacks.attacks.fab import projection_l2, projection_linf

from robust.attacks import FAB, MinimalFAB, craft
from robust.attacks.minimal.fab import onto_plane
from robust.errors import ConfigError
from robust.threat import ThreatModel, distance
from tests.support.oracles import LinearOracle

EPS = {"Linf": 0.05, "L2": 0.25}


@pytest.fixture(scope="module")
def curved():
    torch.manual_seed(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 5)).eval()
    with torch.no_grad():
        network[1].weight.normal_()
        network[1].bias.copy_(-network[1].weight.sum(dim=1) / 2)
    x = torch.rand(60, 3, 4, 4)
    return network, x, network(x).argmax(dim=1)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_projection_is_that_of_the_authors(norm):
    project = {"Linf": projection_linf, "L2": projection_l2}[norm]
    torch.manual_seed(0)
    x, slope = torch.rand(200, 3, 4, 4), torch.randn(200, 3, 4, 4)
    # Of either sign, from well inside the box to beyond it.
    gap = torch.randn(200) * torch.logspace(-2, 2, 200)
    plane = (slope * x).sum(dim=(1, 2, 3)) + gap
    theirs = project(x.flatten(1), slope.flatten(1), plane).view_as(x)
    ours = onto_plane(x, slope, gap, norm)
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)
    gained = (slope * ours).sum(dim=(1, 2, 3))
    assert torch.isclose(gained, gap, rtol=1e-4, atol=1e-5).float().mean() > 0.5
    assert (x + ours).min() >= -1e-6
    assert (x + ours).max() <= 1 + 1e-6


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_succeeds_where_torchattacks_succeeds(curved, norm):
    network, x, y = curved
    eps = EPS[norm]
    theirs = torchattacks.FAB(network, norm, eps, steps=20, multi_targeted=True, n_classes=5)
    found = {
        "ours": craft(lambda m: FAB(m, eps, norm, steps=20, targets=4), network, x, y),
        "theirs": craft(lambda _: theirs, network, x, y),
    }
    misclassified = {
        name: network(crafted.x_adv).argmax(dim=1) != y for name, crafted in found.items()
    }
    assert 0.1 < misclassified["theirs"].float().mean() < 0.95
    assert torch.equal(misclassified["ours"], misclassified["theirs"])
    assert found["ours"].forwards < found["theirs"].forwards
    ThreatModel(norm, eps).check(x, found["ours"].x_adv, "fab")
    robust_images = ~misclassified["ours"]
    assert torch.equal(found["ours"].x_adv[robust_images], x[robust_images])


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_nearest_within_eps_is_what_the_budget_attack_finds(curved, norm):
    network, x, y = curved
    nearest = craft(lambda m: MinimalFAB(m, norm, steps=20, targets=4), network, x, y).x_adv
    assert (network(nearest).argmax(dim=1) != y).all()
    for eps in (0.5 * EPS[norm], EPS[norm], 1.5 * EPS[norm]):
        within = craft(lambda m, e=eps: FAB(m, e, norm, steps=20, targets=4), network, x, y).x_adv
        found = network(within).argmax(dim=1) != y
        assert 0.05 < found.float().mean() < 1
        assert not (found & (distance(x, nearest, norm) > eps * (1 + 1e-5))).any()


def test_the_last_stretch_is_halved():
    oracle = LinearOracle(4)
    x, y = oracle.samples(20)
    nearest = craft(lambda m: MinimalFAB(m, steps=3), oracle, x, y).x_adv
    excess = distance(x, nearest, "L2") / oracle.budget("L2") - 1
    assert (excess > 0).all()
    # FAB itself ends 5 % beyond the boundary.
    assert (excess < 0.002).all()


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("n", [1, 64])
def test_oracle(targeted, norm, n):
    oracle = LinearOracle(3)
    x, y = oracle.samples(n)
    for factor, expected in ((0.9, y), (1.1, 1 - y)):
        eps = factor * oracle.budget(norm)
        target = 1 - y if targeted else None
        x_adv = craft(lambda m, e=eps: FAB(m, e, norm, steps=5), oracle, x, y, target=target).x_adv
        assert torch.equal(oracle(x_adv).argmax(dim=1), expected)


def test_a_flat_view_costs_one_look_a_class():
    network = nn.Sequential(nn.Flatten(), nn.Linear(25, 4))
    with torch.no_grad():
        network[1].weight.zero_()
    x = torch.rand(6, 1, 5, 5)
    y = network(x).argmax(dim=1)
    crafted = craft(lambda m: FAB(m, 0.3, steps=50), network, x, y)
    assert torch.equal(crafted.x_adv, x)
    # The clean image, and one look towards each of three classes.
    assert crafted.forwards == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": -0.1}, "`eps` to be non-negative"),
        ({"steps": 0}, "`steps` to be at least 1"),
        ({"targets": 0}, "`targets` to be at least 1"),
    ],
)
def test_arguments_are_checked(arguments, message):
    kinds = [FAB] if "eps" in arguments else [FAB, MinimalFAB]
    for kind in kinds:
        with pytest.raises(ConfigError, match=message):
            kind(LinearOracle(), **arguments)
