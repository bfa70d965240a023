"""Label smoothing: its loss, where that is least, and what is left of the gradient there."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robust.data import ImageDataModule
from robust.defenses import LabelSmoothing
from robust.errors import ConfigError
from robust.evaluation.masking_signs import has_zero_gradient
from tests.support.digits import trained


class Logits(nn.Module):
    """The ten pixels as logits."""

    def forward(self, x):
        return x.flatten(1)


def logits(*rows):
    return torch.tensor(rows).view(len(rows), 1, 1, 10)


def test_the_label_gets_nine_tenths_and_the_others_share_the_rest():
    torch.manual_seed(0)
    x, y = torch.randn(6, 1, 1, 10), torch.arange(6)
    targets = torch.full((6, 10), 0.1 / 9)
    targets[torch.arange(6), y] = 0.9
    expected = F.cross_entropy(x.flatten(1), targets)
    torch.testing.assert_close(LabelSmoothing(Logits()).training_loss(x, y), expected)


def test_without_smoothing_it_is_cross_entropy():
    torch.manual_seed(0)
    x, y = torch.randn(6, 1, 1, 10), torch.arange(6)
    loss = LabelSmoothing(Logits(), smoothing=1.0).training_loss(x, y)
    torch.testing.assert_close(loss, F.cross_entropy(x.flatten(1), y))


def test_the_loss_is_least_at_a_margin_of_4_4():
    margin = math.log(0.9 * 9 / 0.1)
    assert margin == pytest.approx(4.394, abs=1e-3)
    x = logits([margin, *[0.0] * 9]).requires_grad_()
    loss = LabelSmoothing(Logits()).training_loss(x, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(loss, x)
    assert gradient.abs().max() < 1e-6
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1 / 9)
    assert loss.item() == pytest.approx(entropy, abs=1e-6)


def test_the_network_stays_unsure_and_its_logits_keep_their_gradient():
    x, y, _ = ImageDataModule("digits").test_samples(0, 200)
    model, plain = (trained(LabelSmoothing, epochs=3, smoothing=w) for w in (0.9, 1.0))
    sure, surer = (network(x).softmax(dim=1).amax(dim=1).median() for network in (model, plain))
    assert sure < 0.9
    assert surer > 0.95
    assert not has_zero_gradient(model, x, y).any()


def test_behind_a_transform_the_adaptive_view_lets_the_gradient_through():
    class Halve(nn.Module):
        def forward(self, x):
            return (x > 0.5).float()

    model = LabelSmoothing(Logits(), transform=Halve())
    x = torch.rand(8, 1, 1, 10, requires_grad=True)
    view = model.adaptive_view()
    assert torch.equal(view(x), model(x))
    (gradient,) = torch.autograd.grad(view(x).sum(), x)
    assert torch.equal(gradient, torch.ones_like(x))


@pytest.mark.parametrize("smoothing", [0.0, -0.1, 1.1, float("nan")])
def test_bad_arguments(smoothing):
    with pytest.raises(ConfigError, match=r"`smoothing` to be in \(0, 1\], but got"):
        LabelSmoothing(Logits(), smoothing=smoothing)
