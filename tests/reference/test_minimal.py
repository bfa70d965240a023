"""DeepFool, Carlini-Wagner and DDN beside those of torchattacks, foolbox and adversarial-library.

Never a lower success of any image and no larger median distance (2 % for rounding and noise) than
a peer. Peers that are not installed are skipped.
"""

import warnings

import pytest
import torch
import torchattacks

from robust.attacks import craft
from robust.attacks.minimal.carlini_wagner import CarliniWagner
from robust.attacks.minimal.ddn import DDN
from robust.attacks.minimal.deepfool import DeepFool
from robust.threat import distance

pytestmark = pytest.mark.reference

NOISE = 1.02


def compare(trained, norm, ours, theirs):
    network, x, y = trained

    def distances(x_adv):
        misclassified = network(x_adv).argmax(dim=1) != y
        return distance(x, x_adv, norm).where(misclassified, torch.inf)

    mine = distances(craft(ours, network, x, y).x_adv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = distances(theirs(network, x.clone(), y.clone()).detach())
    network.zero_grad()
    for whose, found in (("ours", mine), ("peer", peer)):
        print(
            f"{whose}: {found.isfinite().sum()} of {len(x)}, median {found.median():.4f}; ", end=""
        )
    assert (mine.isfinite() | peer.isinf()).all()
    assert mine.median() <= NOISE * peer.median()
    return mine, peer


def of_foolbox(foolbox, attack):
    def run(network, x, y):
        model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
        return attack(model, x, foolbox.criteria.Misclassification(y), epsilons=None)[1]

    return run


@pytest.mark.parametrize("norm", ["L2", "Linf"])
class TestDeepFool:
    def test_adversarial_library(self, advlib, trained, norm):
        order = {"L2": 2, "Linf": float("inf")}[norm]
        mine, peer = compare(
            trained,
            norm,
            lambda m: DeepFool(m, norm=norm),
            lambda m, x, y: advlib.df(m, x, y, steps=50, norm=order),
        )
        # The same algorithm: the same image of nearly every sample.
        assert ((mine / peer - 1).abs() < 1e-2).float().mean() >= 0.9

    def test_foolbox(self, foolbox, trained, norm):
        attack = getattr(foolbox.attacks, f"{norm}DeepFoolAttack")(steps=50, loss="logits")
        compare(trained, norm, lambda m: DeepFool(m, norm=norm), of_foolbox(foolbox, attack))


@pytest.mark.slow
def test_deepfool_of_torchattacks(trained):
    peer = lambda m, x, y: torchattacks.DeepFool(m, steps=50)(x, y)  # noqa: E731
    mine, _ = compare(trained, "L2", lambda m: DeepFool(m), peer)
    assert mine.isfinite().all()


class TestDDN:
    def test_adversarial_library(self, advlib, trained):
        mine, peer = compare(
            trained,
            "L2",
            lambda m: DDN(m, steps=100),
            lambda m, x, y: advlib.ddn(m, x, y, steps=100, levels=None),
        )
        assert ((mine / peer - 1).abs() < 1e-2).float().mean() >= 0.9

    def test_foolbox(self, foolbox, trained):
        attack = foolbox.attacks.DDNAttack(steps=100)
        compare(trained, "L2", lambda m: DDN(m, steps=100), of_foolbox(foolbox, attack))


class TestCarliniWagner:
    def test_adversarial_library(self, advlib, trained):
        def peer(m, x, y):
            return advlib.carlini_wagner_l2(
                m,
                x,
                y,
                learning_rate=0.1,
                initial_const=1.0,
                binary_search_steps=1,
                max_iterations=100,
            )

        compare(trained, "L2", lambda m: CarliniWagner(m), peer)

    def test_foolbox(self, foolbox, trained):
        attack = foolbox.attacks.L2CarliniWagnerAttack(
            binary_search_steps=1, steps=100, stepsize=0.1, initial_const=1.0
        )
        compare(trained, "L2", lambda m: CarliniWagner(m), of_foolbox(foolbox, attack))

    @pytest.mark.slow
    def test_torchattacks(self, trained):
        peer = lambda m, x, y: torchattacks.CW(m, c=1, steps=100, lr=0.1)(x, y)  # noqa: E731
        mine, _ = compare(trained, "L2", lambda m: CarliniWagner(m), peer)
        assert mine.isfinite().all()
