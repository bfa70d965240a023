"""The attack unit test against the code of its authors, google-research/active-adversarial-tests.

``ROBUST_ACTIVE_TESTS`` is the folder of a clone. Without it, the tests are skipped.
"""

import os
import sys
import warnings

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from robust.attacks import FGSM, PGD, craft
from robust.defenses import Standard
from robust.measures.unit_test.attacked import Tried, unit_test
from robust.measures.unit_test.points import edge_points
from robust.results.rates import Rate
from robust.threat import ThreatModel

FOLDER = os.environ.get("ROBUST_ACTIVE_TESTS", "")
pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif(not FOLDER, reason="ROBUST_ACTIVE_TESTS names no clone of their code"),
]
BUDGET = ThreatModel("Linf", 0.1)
POINTS, SEEDS = 40, 5
THEIRS = {"utils", "networks", "argparse_utils", "tqdm_utils", "jpeg", "active_tests"}


class Partway(PGD):
    """It goes a part of the way to what PGD finds."""

    part = 0.8

    def forward(self, images, labels):
        """Return the images between."""
        return images + self.part * (super().forward(images, labels) - images)


class HalfWrong(FGSM):
    """It climbs at every second pixel, and descends at the others."""

    def forward(self, images, labels):
        """Return the images."""
        signs = torch.ones(images[0].numel())
        signs[1::2] = -1
        step = super().forward(images, labels) - images
        return (images + step * signs.view(images[0].shape)).clamp(0, 1)


ATTACKS = {
    "pgd": lambda view: PGD(view, BUDGET.eps, steps=40, loss="log_odds"),
    "partway": lambda view: Partway(view, BUDGET.eps, steps=40, loss="log_odds"),
    "half_wrong": lambda view: HalfWrong(view, BUDGET.eps),
}


@pytest.fixture(scope="module")
def theirs():
    """Their module; names of its neighbours are taken only while these tests run."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.syspath_prepend(FOLDER)
        from active_tests import decision_boundary_binarization as module

        patch.setattr(module.tqdm, "tqdm", lambda items: items)
        # Arguments that it gives are gone from scikit-learn, where these are the defaults now.
        patch.setattr(module, "LogisticRegression", unpenalized)
        # Its solver of the same problem does not converge within its iterations.
        patch.setattr(module, "LinearSVC", lambda C, **_: SVC(kernel="linear", C=C))
        yield module
    for name in [name for name in sys.modules if name.split(".")[0] in THEIRS]:
        del sys.modules[name]


def unpenalized(*, max_iter, **_):
    return LogisticRegression(C=float("inf"), max_iter=max_iter)


class Features(nn.Module):
    """A network as their code calls it."""

    def __init__(self, network):
        super().__init__()
        self.body, self.head = network[:-1], network[-1]

    def forward(self, x, *, features_only=False, features_and_logits=False):
        """Return features, logits or both."""
        features = self.body(x)
        if features_only:
            return features
        logits = self.head(features)
        return (features, logits) if features_and_logits else logits


def searched(model, x, tries, generator):
    """Whether one of some random points at the edge of a single image succeeds."""
    points = torch.cat([edge_points(BUDGET, x, generator) for _ in range(tries)])
    with torch.no_grad():
        return bool((model(points).argmax(dim=1) != 0).any())


def by_theirs(module, network, x, readout, seed):
    """Return rates of the attacks on images that no random point solves, and that of the latter."""
    generator = torch.Generator().manual_seed(seed)
    found, easy = {name: [] for name in ATTACKS}, []

    def attack(model, loader, _):
        ((image, label),) = loader
        made = [craft(each, model, image, label, seed=seed) for each in ATTACKS.values()]
        with torch.no_grad():
            logits = [model(each.x_adv) for each in made]
        for success, scores in zip(found.values(), logits, strict=True):
            success.append(bool(scores.argmax(dim=1) != 0))
        tries = round(max(each.forwards for each in made))
        easy.append(searched(model, image, tries, generator))
        return found["pgd"][-1], (made[0].x_adv, logits[0])

    settings = module.aut.DecisionBoundaryBinarizationSettings(
        epsilon=BUDGET.eps,
        norm="linf",
        n_inner_points=POINTS - 1,
        n_boundary_points=1,
        adversarial_attack_settings=None,
        optimizer=readout,
    )
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), len(x))
    torch.manual_seed(seed)
    module.interior_boundary_discrimination_attack(
        *(Features(network), loader, attack, settings, len(x), "cpu"),
        rescale_logits="adaptive",
        decision_boundary_closeness=0.9999,  # as in their studies
    )
    rates = {
        name: Rate(sum(s for s, e in zip(success, easy, strict=True) if not e), easy.count(False))
        for name, success in found.items()
    }
    return {**rates, "random": Rate(sum(easy), len(easy))}


def by_ours(network, x, seed):
    """Return the same, and the share of images that a read-out separates."""
    tried = {name: Tried(attack, BUDGET) for name, attack in ATTACKS.items()}
    arguments = {"points": POINTS, "seed": seed}
    (scores,) = unit_test(Standard(network), x, tried, ["deployed"], **arguments).values()
    return {**scores.found["deployed"], "random": scores.random}


def together(rates):
    """Return the rates of several seeds in %."""
    hits = {name: sum(each[name].hits for each in rates) for name in rates[0]}
    return {name: 100 * hits[name] / sum(each[name].n for each in rates) for name in hits}


@pytest.fixture(scope="module")
def scores(theirs, small):
    """Scores by code and read-out, in %."""
    network, x, _ = small
    network.requires_grad_(False)
    found = {"ours": together([by_ours(network, x, seed) for seed in range(SEEDS)])}
    for readout in ("sklearn-svm", "sklearn"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a solver did not converge
            parts = [by_theirs(theirs, network, x, readout, seed) for seed in range(SEEDS)]
        found[readout] = together(parts)
    print(*(f"{key}: {value}" for key, value in found.items()), sep="\n")
    return found


@pytest.mark.parametrize("name", [*ATTACKS, "random"])
def test_scores_are_those_of_their_largest_margin(scores, name):
    assert scores["ours"][name] == pytest.approx(scores["sklearn-svm"][name], abs=5)


def test_the_strongest_attack_has_the_score_of_their_usual_read_out(scores):
    ours, usual = scores["ours"], scores["sklearn"]
    assert ours["pgd"] == pytest.approx(usual["pgd"], abs=5)
    assert max(ATTACKS, key=ours.get) == max(ATTACKS, key=usual.get) == "pgd"
