"""TRADES: its attack, its loss, and that it makes networks robust."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robust.attacks import HasObjective
from robust.defenses import Trades
from robust.defenses.crafting import kl_divergence
from robust.defenses.trades import DivergenceView
from robust.errors import ConfigError
from tests.support.digits import accuracies, trained, undefended


def linear(classes=2):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, classes))
    with torch.no_grad():
        network[1].weight.mul_(4)
    return network


def images(n=30):
    # Far enough from 0 and 1 that eps = 0.1 is not clipped.
    x = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return 0.2 + 0.6 * x, torch.arange(n) % 2


def trades(network, **settings):
    return Trades(network, **{"eps": 0.1, "alpha": 0.03, "steps": 8, **settings})


def test_the_attack_reaches_a_corner_that_diverges_most():
    """With two classes the divergence grows both ways along the difference of the weights."""
    (x, y), network = images(), linear()
    x_adv = trades(network).adversarial(x, y)
    towards = (network[1].weight[1] - network[1].weight[0]).sign().view(1, 1, 4, 4)
    corners = x + 0.1 * towards, x - 0.1 * towards
    nearest = torch.stack([(x_adv - c).abs().flatten(1).amax(dim=1) for c in corners])
    assert nearest.amin(dim=0).max() < 1e-6
    # The start decides which; both occur.
    assert 0 < nearest.argmin(dim=0).sum() < len(x)


def test_it_starts_beside_the_image():
    x, y = images()
    start = trades(linear(), alpha=0.0, steps=1).adversarial(x, y)
    assert (start - x).std().item() == pytest.approx(0.001, rel=0.2)
    assert torch.equal(trades(linear(), eps=0.0).adversarial(x, y), x)


def test_labels_have_no_part_in_the_attack():
    (x, y), network = images(), linear(4)
    assert torch.equal(trades(network).adversarial(x, y), trades(network).adversarial(x, 1 - y))


def test_the_objective_is_the_divergence_from_the_clean_images():
    (x, y), network = images(), linear(4)
    view = DivergenceView(network, network(x).detach())
    assert isinstance(view, HasObjective)
    assert view.objective(view(x), y).abs().max() < 1e-12
    moved = view(x + 0.1)
    assert torch.equal(view.objective(moved, y), kl_divergence(network(x), moved))


def test_the_loss_by_hand():
    (x, y), network = images(), linear(4)
    model = trades(network, beta=3.0)
    p, q = network(x).softmax(dim=1), network(model.adversarial(x, y)).softmax(dim=1)
    divergence = (p * (p.log() - q.log())).sum(dim=1).mean()
    assert divergence > 0.01
    loss = model.training_loss(x, y)
    torch.testing.assert_close(
        loss, F.cross_entropy(network(x), y) + 3 * divergence, check_dtype=False
    )
    loss.backward()
    found, network[1].weight.grad = network[1].weight.grad, None
    # The gradient flows through both distributions.
    (F.cross_entropy(network(x), y) + 3 * divergence).backward()
    torch.testing.assert_close(found, network[1].weight.grad, rtol=1e-3, atol=1e-5)


def test_without_beta_it_is_cross_entropy():
    (x, y), network = images(), linear()
    loss = trades(network, beta=0.0).training_loss(x, y)
    torch.testing.assert_close(loss, F.cross_entropy(network(x), y), check_dtype=False)


def test_it_makes_networks_robust():
    clean, robust = accuracies(trained(Trades, eps=0.1, alpha=0.05, steps=3))
    assert clean > 0.75
    assert robust > undefended()[1] + 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": -1.0}, "`beta` to be non-negative, but got -1"),
        ({"eps": -0.1}, "`eps` to be non-negative, but got -0.1"),
        ({"alpha": -0.1}, "`alpha` to be non-negative, but got -0.1"),
        ({"steps": 0}, "`steps` to be at least 1, but got 0"),
    ],
)
def test_bad_arguments(settings, message):
    with pytest.raises(ConfigError, match=message):
        trades(linear(), **settings)
