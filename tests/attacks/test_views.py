"""The pieces of views: exact forward, the gradient that an attacker wants backward."""

import pytest
import torch
from torch import nn

from robust.attacks import BPDA, EOT, CarliniWagner, HasObjective, Rescale, craft
from robust.attacks.views import named_objective, shrunk
from robust.errors import ConfigError


class Binarize(nn.Module):
    def forward(self, x):
        return (x > 0.5).float()


class Noise(nn.Module):
    def forward(self, x):
        return (x + torch.randn_like(x)).flatten(1)


def images(n=3):
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_bpda_is_exact_forward_and_the_identity_backward():
    x = images().requires_grad_()
    weights = torch.randn(3, 1, 4, 4)
    out = BPDA(Binarize())(x)
    assert torch.equal(out, Binarize()(x))
    (out * weights).sum().backward()
    assert torch.equal(x.grad, weights)


def test_bpda_takes_the_gradient_of_its_substitute():
    class Steep(nn.Module):
        def forward(self, x):
            return torch.sigmoid(10 * (x - 0.5))

    x = images().requires_grad_()
    (through,) = torch.autograd.grad(BPDA(Binarize(), Steep())(x).sum(), x)
    (own,) = torch.autograd.grad(Steep()(x).sum(), x)
    assert torch.equal(through, own)


def test_eot_is_the_mean_of_its_samples():
    x = images()
    torch.manual_seed(1)
    expected = torch.stack([Noise()(x) for _ in range(5)]).mean(dim=0)
    torch.manual_seed(1)
    assert torch.equal(EOT(Noise(), 5)(x), expected)


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x.flatten(1) * self.factor


def test_rescale_divides_what_does_not_saturate():
    scores = Rescale(nn.Flatten(), 20.0)(images())
    torch.testing.assert_close(scores * 20, images().flatten(1))


@pytest.mark.parametrize("factor", [1.0, 1e3, 1e6])
def test_rescale_bounds_the_spread_and_keeps_the_order(factor):
    scores = Rescale(Scale(factor), 2.0, span=5.0)(images())
    spread = scores.amax(dim=1) - scores.amin(dim=1)
    assert (spread <= 5.0 + 1e-5).all()
    assert torch.equal(scores.argsort(dim=1), images().flatten(1).argsort(dim=1))


def test_rescale_gives_large_scores_the_gradient_of_small_ones():
    x, y = images(), torch.tensor([0, 1, 2])
    gradients = []
    for factor in (100.0, 1e6):
        x = images().requires_grad_()
        loss = torch.nn.functional.cross_entropy(Rescale(Scale(factor), 1.0)(x), y)
        gradients.append(torch.autograd.grad(loss, x)[0].sign())
    assert gradients[0].abs().sum() > 0
    assert torch.equal(*gradients)


def test_rescale_of_equal_scores_is_finite():
    x = torch.full((2, 1, 4, 4), 0.5, requires_grad=True)
    scores = Rescale(nn.Flatten(), 1.0)(x)
    assert torch.equal(scores, x.flatten(1))
    scores.sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_rescale_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ConfigError, match="Expected `temperature` to be positive"):
        Rescale(nn.Flatten(), temperature)


def test_eot_refuses_no_samples():
    with pytest.raises(ConfigError, match="Expected `samples` to be at least 1, but got 0"):
        EOT(nn.Flatten(), 0)


def test_a_plain_module_names_no_objective():
    assert not isinstance(nn.Flatten(), HasObjective)


class Named(nn.Module):
    """Scores with an objective for labels and, if asked for, another for targets."""

    def forward(self, x):
        return x.flatten(1)

    def objective(self, outputs, y):
        return outputs[:, 0]


class NamedTargeted(Named):
    def targeted_objective(self, outputs, target):
        return 5 * outputs[:, 1] + target


def test_a_view_names_what_an_attacker_climbs():
    x, y = images(), torch.tensor([0, 1, 2])
    outputs = x.flatten(1)
    assert named_objective(nn.Flatten(), outputs, y, targeted=False) is None
    assert named_objective(nn.Flatten(), outputs, y, targeted=True) is None
    for view, targeted in ((Named(), False), (Named(), True), (NamedTargeted(), False)):
        named = named_objective(view, outputs, y, targeted=targeted)
        assert torch.equal(named, outputs[:, 0])
    named = named_objective(NamedTargeted(), outputs, y, targeted=True)
    assert torch.equal(named, 5 * outputs[:, 1] + y)


def test_bpda_takes_the_place_of_a_later_layer():
    z = torch.tensor([[-20.0, 0.5]], requires_grad=True)
    out = BPDA(nn.Tanh())(z)
    assert torch.equal(out, z.tanh())
    assert torch.equal(torch.autograd.grad(out.sum(), z)[0], torch.ones(1, 2))


def test_shrunk_scores_span_what_was_asked_for():
    scores = torch.tensor([[0.0, 30.0, -70.0], [0.0, 1.0, 2.0]])
    expected = torch.tensor([[0.0, 1.5, -3.5], [0.0, 1.0, 2.0]])
    torch.testing.assert_close(shrunk(scores, 5.0), expected)


def test_shrinking_is_left_out_where_it_is_not_wanted():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
    network[3].weight.data *= 100
    x = torch.rand(12, 1, 4, 4)
    y, view = network(x).argmax(dim=1), Rescale(network)
    assert torch.equal(view(x, shrink=False), network(x))
    assert not torch.equal(view(x), network(x))
    # Carlini and Wagner's weight of the margin cannot keep up with a factor that changes.
    through = [craft(CarliniWagner, module, x, y) for module in (network, view)]
    assert torch.equal(through[0].x_adv, through[1].x_adv)
    assert through[0].forwards == through[1].forwards > 0
    assert (network(through[0].x_adv).argmax(dim=1) != y).all()
