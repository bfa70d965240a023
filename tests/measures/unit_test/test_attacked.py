"""Attacks that work find what is there; masked gradients and attacks that do nothing do not."""

import pytest
import torch
from torch import nn

import robust
from robust.attacks import FGSM, PGD
from robust.defenses import Codewords, Squeezed, Standard
from robust.measures.unit_test import planted
from robust.measures.unit_test.attacked import Tried, unit_test
from robust.measures.unit_test.layers import NotMeasured
from robust.results.metrics import Rate
from robust.threat import ThreatModel

IMAGES = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
EPS = {"Linf": 0.1, "L2": 0.8}


def network(outputs=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs))


class Backwards(FGSM):
    """It descends where it should climb."""

    def forward(self, images, labels):
        """Return the images on the other side."""
        return (2 * images - super().forward(images, labels)).clamp(0, 1)


def scores_of(defense, norm="Linf", **attacks):
    eps = EPS[norm]
    attacks = attacks or {"pgd": lambda m: PGD(m, eps, norm=norm, steps=20)}
    tried = {name: Tried(attack, ThreatModel(norm, eps)) for name, attack in attacks.items()}
    (scores,) = unit_test(defense, IMAGES, tried, points=200).values()
    return scores


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("kind", [Standard, Codewords])
def test_an_attack_that_works_finds_nearly_all(kind, norm):
    scores = scores_of(
        Standard(network()) if kind is Standard else Codewords(network, length=32), norm=norm
    )
    assert scores.separated.value == 1
    found = scores.found["adaptive"]["pgd"]
    assert found.n >= 8
    assert found.value >= 0.9


def test_masked_gradients_find_next_to_nothing_and_the_way_around_does():
    defense = Squeezed(network())
    with torch.no_grad():
        defense.network[3].weight.mul_(5000)  # as after a training: the outputs are flat
    found = scores_of(defense).found
    assert found["deployed"]["pgd"].value <= 0.2
    assert found["adaptive"]["pgd"].value >= 0.9


def test_an_attack_that_does_the_opposite_finds_nothing():
    eps = EPS["Linf"]
    attacks = {"back": lambda m: Backwards(m, eps), "there": lambda m: FGSM(m, eps)}
    found = scores_of(Standard(network()), **attacks).found["adaptive"]
    assert found["back"].hits == 0
    assert found["there"].value > 0.5


def test_each_threat_model_has_its_own():
    two = {
        "near": Tried(lambda m: FGSM(m, 0.05), ThreatModel("Linf", 0.05)),
        "far": Tried(lambda m: FGSM(m, 0.1), ThreatModel("Linf", 0.1)),
    }
    scores = unit_test(Standard(network()), IMAGES[:3], two, points=50)
    assert {at: list(found.found["adaptive"]) for at, found in scores.items()} == {
        "Linf 0.05": ["near"],
        "Linf 0.1": ["far"],
    }


def test_a_target_is_the_class_that_is_there():
    attack = Tried(lambda m: PGD(m, 0.1, steps=20), ThreatModel("Linf", 0.1), targeted=True)
    (scores,) = unit_test(Standard(network()), IMAGES, {"pgd": attack}, points=200).values()
    assert scores.found["adaptive"]["pgd"].value >= 0.9


def test_it_leaves_the_defense_as_it_was():
    defense = Standard(network())
    before, mode = defense(IMAGES), defense.training
    scores_of(defense)
    assert torch.equal(defense(IMAGES), before)
    assert defense.training is mode


class Half(nn.Module):
    """Its scores also come from a way around the last layer."""

    def __init__(self):
        super().__init__()
        self.layers = network()

    def forward(self, x):
        return self.layers(x) + x.flatten(1)[:, :10]


class Nearest(nn.Module):
    """Scores are distances to ten points, as those of `Recall`."""

    def forward(self, outputs):
        return -torch.cdist(outputs, torch.eye(10, 16))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Half(), "from the last linear layer alone"),
        (nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten()), "a last linear layer"),
        (nn.Sequential(*network(16), Nearest()), "an output for each of 10 classes .* got 16"),
    ],
)
def test_what_has_no_last_layer_is_not_measured(module, reason):
    with pytest.raises(NotMeasured, match=reason):
        scores_of(Standard(module))


@pytest.mark.parametrize("budget", [("L2", float("inf")), ("L0", 5.0), ("Linf", 0.0)])
def test_attacks_of_other_threat_models_are_not_tried(budget):
    attacks = {"ddn": Tried(lambda m: robust.attacks.DDN(m, steps=2), ThreatModel(*budget))}
    with pytest.raises(NotMeasured, match="Linf or L2 with an eps"):
        unit_test(Standard(network()), IMAGES, attacks)


def test_features_that_separate_no_points_are_not_measured():
    module = network()
    with torch.no_grad():
        module[1].weight.zero_()  # the features are the same of all images
    with pytest.raises(NotMeasured, match="linear function of the 64 features"):
        scores_of(Standard(module))


def test_blocks_of_images_count_together(monkeypatch):
    defense = Standard(network())
    monkeypatch.setattr(planted, "BLOCK", 5)
    monkeypatch.setattr(planted, "_CHUNK", 2)
    scores = scores_of(defense)
    assert scores.separated == Rate(12, 12)
    assert scores.random.n == 12
    found = scores.found["adaptive"]["pgd"]
    assert found.n == 12 - scores.random.hits
    assert found.value >= 0.9


def test_a_block_of_which_nothing_is_separated_counts_nothing(monkeypatch):
    """All-black images have the same features, inside and at the edge."""
    monkeypatch.setattr(planted, "BLOCK", 6)
    module = nn.Sequential(Thresholded(), *network())
    some = torch.cat([IMAGES[:6], torch.zeros(6, 1, 8, 8)])
    tried = {"fgsm": Tried(lambda m: FGSM(m, 0.1), ThreatModel("Linf", 0.1))}
    (scores,) = unit_test(Standard(module), some, tried, points=50).values()
    assert scores.separated == Rate(6, 12)
    assert scores.random.n == 6


class Thresholded(nn.Module):
    """What is nearly black becomes black."""

    def forward(self, x):
        return torch.relu(x - 0.2)
