"""The test tells masked gradients from their way around on networks that were trained."""

import pytest
import torch
from torch import nn

from robust.attacks import BIM, FGSM, PGD
from robust.data import ImageDataModule
from robust.defenses import (
    AdversarialTraining,
    Codewords,
    Distillation,
    LabelSmoothing,
    Squeezed,
    Standard,
    Trades,
)
from robust.measures.unit_test.attacked import Tried, unit_test
from robust.threat import ThreatModel
from robust.transforms import FeatureSqueezing
from tests.support.digits import trained

EPS = 0.2
IMAGES = 32


class HalfWrong(FGSM):
    """It climbs at every second pixel, and descends at the others."""

    def forward(self, images, labels):
        """Return the images."""
        signs = torch.ones(images[0].numel(), device=images.device)
        signs[1::2] = -1
        step = super().forward(images, labels) - images
        return (images + step * signs.view(images[0].shape)).clamp(0, 1)


ATTACKS = {
    "bim": lambda view: BIM(view, EPS, steps=20),
    "pgd": lambda view: PGD(view, EPS, steps=40, loss="log_odds"),
    "half_wrong": lambda view: HalfWrong(view, EPS),
}


def found(defense, *views):
    """Return the rates of the attacks by view and name."""
    x = ImageDataModule("digits").test_samples(0, IMAGES).x
    attacks = {name: Tried(attack, ThreatModel("Linf", EPS)) for name, attack in ATTACKS.items()}
    (scores,) = unit_test(defense, x, attacks, views, points=200).values()
    assert scores.separated.hits >= IMAGES / 2
    return scores.found


def wide(outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, outputs))


def trained_codewords():
    return trained(
        lambda _, **rest: Codewords(wide, length=32, published="as_released", **rest), epochs=4
    )


@pytest.mark.parametrize(
    ("make", "view"),
    [
        (lambda: trained(Squeezed, epochs=5), "deployed"),
        pytest.param(
            lambda: trained(Distillation, epochs=6, teacher_epochs=3),
            "deployed",
            marks=pytest.mark.slow,
        ),
        pytest.param(trained_codewords, "published", marks=pytest.mark.slow),
    ],
    ids=["squeezed", "distilled", "codewords"],
)
def test_bim_with_cross_entropy_misses_what_is_there_but_not_through_the_adaptive_view(make, view):
    rates = found(make(), view, "adaptive")
    missed, around = rates[view]["bim"], rates["adaptive"]
    assert missed.interval[1] < 0.5
    assert around["bim"].interval[0] > missed.interval[1]
    assert max(around["bim"], around["pgd"]).interval[1] >= 0.95


@pytest.mark.parametrize(
    "make",
    [
        lambda: trained(Standard),
        pytest.param(lambda: trained(LabelSmoothing, smoothing=0.9), marks=pytest.mark.slow),
        pytest.param(
            lambda: trained(AdversarialTraining, attack=lambda view: PGD(view, 0.1, steps=3)),
            marks=pytest.mark.slow,
        ),
        pytest.param(lambda: trained(Trades, eps=0.1, alpha=0.05, steps=3), marks=pytest.mark.slow),
        lambda: trained(Standard, transform=FeatureSqueezing(4)),
    ],
    ids=["plain", "smoothed", "pgd_trained", "trades", "4_bits"],
)
def test_a_sound_attack_finds_what_is_there_and_a_weakened_one_clearly_less(make):
    rates = found(make(), "adaptive")["adaptive"]
    assert rates["pgd"].value >= 0.95
    assert rates["half_wrong"].interval[1] < rates["pgd"].interval[0]


class NoGradient(nn.Module):
    """Scores stay, and their gradient is zero."""

    def forward(self, scores):
        return scores.detach() + 0 * scores


def test_without_a_gradient_next_to_nothing_is_found():
    defense = trained(Standard)
    defense.network = nn.Sequential(defense.network, NoGradient())
    rates = found(defense, "deployed")["deployed"]
    assert max(rate.value for rate in rates.values()) <= 0.1
