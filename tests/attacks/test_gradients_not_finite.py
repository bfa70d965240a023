"""Attacks on gradients that are not finite: finite images within eps, and the sign is said."""

import pytest
import torch
import torchattacks
from torch import nn

from robust.attacks import PGD, DeepFool, craft
from robust.attacks.finite import NotFinite, finite_gradients
from robust.defenses import Standard
from robust.evaluation.masking_signs import gradient_signs
from robust.threat import ThreatModel
from tests.support.every_attack import EVERY, NAMES
from tests.support.odd_networks import Rooted

EPS = 0.4


def black():
    """Four images of which three have black pixels, and what the network says of them."""
    torch.manual_seed(0)
    x = torch.rand(4, 1, 4, 4).clamp(0.1)
    x[:3, :, :2] = 0
    x[1] = 0
    with torch.no_grad():
        return x, Rooted()(x).argmax(dim=1)


@pytest.mark.parametrize("name", NAMES)
def test_every_attack_of_ours(name):
    short = EVERY[name]
    x, y = black()
    crafted = craft(lambda view: short.build(view, EPS), Rooted(), x, y)
    assert crafted.x_adv.isfinite().all()
    ThreatModel(short.norm, EPS).check(x, crafted.x_adv, "it", budget=short.budget)


@pytest.mark.parametrize(
    ("norm", "attack"),
    [
        ("L2", lambda view: torchattacks.PGDL2(view, eps=EPS, alpha=0.1, steps=5)),
        ("L2", lambda view: torchattacks.PGDRSL2(view, eps=EPS, alpha=0.1, steps=5)),
        ("Linf", lambda view: torchattacks.PGD(view, eps=EPS, alpha=0.1, steps=5)),
        ("Linf", lambda view: torchattacks.FGSM(view, eps=EPS)),
        ("Linf", lambda view: torchattacks.MIFGSM(view, eps=EPS, alpha=0.1, steps=5)),
        ("Linf", lambda view: torchattacks.NIFGSM(view, eps=EPS, alpha=0.1, steps=5)),
        ("L2", lambda view: torchattacks.CW(view, steps=5)),
        ("L2", lambda view: torchattacks.DeepFool(view, steps=5)),
    ],
)
def test_attacks_of_torchattacks(norm, attack):
    x, y = black()
    crafted = craft(attack, Rooted(), x, y)
    budget = hasattr(attack(nn.Identity()), "eps")
    ThreatModel(norm, EPS).check(x, crafted.x_adv, "it", budget=budget)


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_an_attack_goes_on_along_what_is_infinite(norm):
    """The root rises from zero faster than any line: black pixels are what to change."""
    x, y = black()
    crafted = craft(lambda view: PGD(view, EPS, norm=norm, alpha=0.1, steps=5), Rooted(), x, y)
    moved = (crafted.x_adv != x).flatten(1).any(dim=1)
    assert moved.all()
    assert crafted.not_finite.tolist()[:3] == [True] * 3


def test_called_without_craft_it_is_the_same():
    x, y = black()
    assert (
        PGD(Rooted(), EPS, norm="L2", alpha=0.1, steps=3, random_start=True)(x, y).isfinite().all()
    )
    assert DeepFool(Rooted(), steps=3)(x, y).isfinite().all()


def test_a_finite_gradient_is_passed_on_as_it_is():
    network, x = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)

    def gradient():
        leaf = x.clone().requires_grad_()
        (found,) = torch.autograd.grad(network(leaf).square().sum(), leaf)
        return found

    plain, seen = gradient(), NotFinite(2, x.device)
    with finite_gradients(network, seen):
        assert torch.equal(gradient(), plain)
    assert not seen.any
    assert not network._forward_pre_hooks


def test_which_images_is_known_also_where_others_have_left():
    """A misclassified image leaves the batch, so that later passes are not of all images."""
    x, y = black()
    y[0] = (y[0] + 1) % 3  # misclassified at once
    crafted = craft(lambda view: PGD(view, EPS, alpha=0.1, steps=5), Rooted(), x, y)
    assert crafted.not_finite.tolist()[:3] == [True] * 3


def test_signs_of_a_view():
    x, y = black()
    zero, not_finite = gradient_signs(Standard(Rooted()).adaptive_view(), x, y)
    assert not zero.any()
    assert not_finite.tolist() == [True, True, True, False]


def test_anomaly_detection_does_not_end_an_attack():
    x, y = black()
    with torch.autograd.set_detect_anomaly(True):
        crafted = craft(lambda view: PGD(view, EPS, norm="L2", alpha=0.1, steps=3), Rooted(), x, y)
    assert crafted.x_adv.isfinite().all()
