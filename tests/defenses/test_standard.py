"""The undefended network, and the same one with the squared error on its softmax."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robust.attacks import PGD, HasObjective, craft
from robust.attacks.views import shrunk
from robust.defenses import Standard
from robust.evaluation.masking_signs import has_zero_gradient


class Logits(nn.Module):
    """Passes three pixels on as logits, times ``scale``."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return self.scale * x[:, 0, 0, :3]


def mse(scale=1.0, **arguments):
    return Standard(Logits(scale), loss="mse", **arguments).eval()


def images(*rows):
    return torch.tensor(rows).view(len(rows), 1, 1, 3)


def test_mse_of_a_uniform_softmax():
    """0.9^2 and nine times 0.1^2, over ten."""
    model = Standard(nn.Sequential(nn.Flatten(), nn.Linear(4, 10)), loss="mse")
    with torch.no_grad():
        model.network[1].weight.zero_()
        model.network[1].bias.zero_()
    loss = model.training_loss(torch.rand(5, 1, 2, 2), torch.arange(5))
    assert loss.item() == pytest.approx(0.09, abs=1e-6)


def test_mse_by_hand():
    model, x = mse(2.0), images([0.0, 0.5, 1.0], [0.3, 0.2, 0.1])
    p = F.softmax(2 * x.flatten(1), dim=1)
    expected = ((p - torch.tensor([[0.0, 0, 1], [0, 1, 0]])) ** 2).mean()
    torch.testing.assert_close(model.training_loss(x, torch.tensor([2, 1])), expected)
    torch.testing.assert_close(model(x), p)


def test_cross_entropy_is_as_ever():
    model, x, y = Standard(Logits()), images([0.0, 0.5, 1.0]), torch.tensor([1])
    assert torch.equal(model(x), x.flatten(1))
    assert torch.equal(model.training_loss(x, y), F.cross_entropy(x.flatten(1), y))
    torch.testing.assert_close(model.adaptive_view()(10 * x), shrunk(model(10 * x)))
    assert model.published_view() is model


def test_the_softmax_is_flat_and_the_adaptive_view_is_not():
    model, x, y = mse(1000.0), images([0.0, 0.5, 1.0]), torch.tensor([2])
    assert has_zero_gradient(model, x, y).all()
    assert not has_zero_gradient(model.adaptive_view(), x, y).any()


@pytest.mark.parametrize("view", ["adaptive", "published"])
def test_views_predict_like_the_defense(view):
    x = torch.rand(100, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    model = mse(5.0)
    assert torch.equal(model.view(view)(x).argmax(dim=1), model(x).argmax(dim=1))


def test_the_published_attacker_takes_the_logits_for_the_outputs():
    view, x, y = mse(2.0).published_view(), images([0.0, 0.5, 1.0]), torch.tensor([2])
    assert isinstance(view, HasObjective)
    outputs = view(x)
    assert torch.equal(outputs, 2 * x.flatten(1))
    # (0 - 0)^2, (1 - 0)^2 and (2 - 1)^2.
    torch.testing.assert_close(view.objective(outputs, y), torch.tensor([2 / 3]))


def test_the_published_attack_moves_the_logits_away_from_the_label_on_either_side():
    """It climbs where a logit is above one: away from the one-hot vector, towards the label."""
    x, y = images([0.2, 0.5, 0.6]), torch.tensor([2])
    model = mse(10.0)
    reached = {}
    for name in ("adaptive", "published"):
        x_adv = craft(lambda m: PGD(m, 0.1, random_start=False), model.view(name), x, y).x_adv
        reached[name] = model(x_adv).argmax(dim=1) != y
    assert reached["adaptive"].all()
    assert not reached["published"].any()


def test_the_published_view_is_without_the_input_transform():
    class Halve(nn.Module):
        def forward(self, x):
            return (x > 0.4).float()

    x = images([0.0, 0.5, 1.0])
    bare, behind = mse(), mse(transform=Halve())
    assert torch.equal(behind.published_view()(x), bare.published_view()(x))
    assert not torch.equal(behind(x), bare(x))
