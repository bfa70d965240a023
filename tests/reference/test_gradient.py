"""PGD and AutoAttack beside those of torchattacks, foolbox and adversarial-library."""

import warnings

import pytest
import torch
import torchattacks

from robust.attacks import PGD, AutoAttack, craft, sample_seeds
from robust.losses import cross_entropy
from robust.threat import ThreatModel

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

# About half of the images are robust.
RADIUS = {"Linf": 0.08, "L2": 0.6}
STEPS = 20


def stays_right(network, x, y):
    with torch.no_grad():
        return network(x).argmax(dim=1) == y


def of_torchattacks(norm, step, network, x, y):
    attack = {"Linf": torchattacks.PGD, "L2": torchattacks.PGDL2}[norm]
    return attack(network, eps=RADIUS[norm], alpha=step, steps=STEPS, random_start=False)(x, y)


def of_foolbox(norm, step, network, x, y):
    foolbox = pytest.importorskip("foolbox")
    attack = getattr(foolbox.attacks, f"{norm}PGD")(
        abs_stepsize=step, steps=STEPS, random_start=False
    )
    model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    criterion = foolbox.criteria.Misclassification(y)
    return attack(model, x, criterion, epsilons=RADIUS[norm])[1]


def of_adversarial_library(norm, step, network, x, y):
    from adv_lib.attacks import pgd_linf

    return pgd_linf(
        network, x, y, ε=RADIUS[norm], steps=STEPS, random_init=False, absolute_step_size=step
    )


@pytest.mark.parametrize(
    ("peer", "norm"),
    [
        (of_torchattacks, "Linf"),
        (of_torchattacks, "L2"),
        (of_foolbox, "Linf"),
        (of_foolbox, "L2"),
        # It has no other norm.
        (of_adversarial_library, "Linf"),
    ],
)
def test_pgd_from_the_image_itself(small, advlib, peer, norm):
    network, x, y = small
    eps, step = RADIUS[norm], 2.5 * RADIUS[norm] / STEPS
    mine = craft(lambda m: PGD(m, eps, step, STEPS, norm, random_start=False), network, x, y).x_adv
    theirs = peer(norm, step, network, x.clone(), y.clone()).detach()
    network.zero_grad()
    ThreatModel(norm, eps).check(x, theirs, peer.__name__)
    robust, their_robust = stays_right(network, mine, y), stays_right(network, theirs, y)
    print(f"PGD {norm}: {robust.sum()} of {len(x)} robust; {peer.__name__}: {their_robust.sum()}")
    assert 0.1 < their_robust.float().mean() < 0.9
    assert (robust & ~their_robust).sum() <= 1
    both = robust & their_robust
    with torch.no_grad():
        losses = [cross_entropy(network(images[both]), y[both]).mean() for images in (mine, theirs)]
    assert losses[0] >= losses[1] - 1e-4


def of_its_parts(norm, network, x, y):
    """Which images stay robust under the authors' four attacks as torchattacks has them."""
    common = {"norm": norm, "eps": RADIUS[norm]}
    attacks = [
        torchattacks.APGD(network, **common, steps=100),
        torchattacks.APGDT(network, **common, steps=100, n_classes=10),
        torchattacks.FAB(network, **common, steps=100, n_classes=10, multi_targeted=True),
        torchattacks.Square(network, **common, n_queries=5000),
    ]
    robust = stays_right(network, x, y)
    for attack in attacks:
        left = robust.nonzero().squeeze(1)
        found = craft(lambda m, a=attack: a, network, x[left], y[left]).x_adv
        model = ThreatModel(**common)
        within = model.distance(x[left], found) <= model.limit
        robust[left] = stays_right(network, found, y[left]) | ~within
    return robust


def of_the_authors(norm, network, x, y):
    """Which images stay robust under fra31's AutoAttack."""
    autoattack = pytest.importorskip("autoattack")
    peer = autoattack.AutoAttack(network, norm=norm, eps=RADIUS[norm], device="cpu", verbose=False)
    return stays_right(network, peer.run_standard_evaluation(x, y, bs=len(x)), y)


def of_adversarial_librarys_apgd(norm, network, x, y):
    """Which images stay robust under its APGD on the cross-entropy and on nine targets."""
    from adv_lib.attacks import apgd, apgd_targeted

    order = {"Linf": float("inf"), "L2": 2}[norm]
    robust = stays_right(network, x, y)
    for attack in (apgd, apgd_targeted):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = attack(network, x.clone(), y.clone(), eps=RADIUS[norm], norm=order)
        robust &= stays_right(network, found.detach(), y)
    network.zero_grad()
    return robust


@pytest.fixture(scope="module", params=["Linf", "L2"])
def ours(request, small):
    """A norm, and which images stay robust under our AutoAttack in it."""
    network, x, y = small
    norm, eps = request.param, RADIUS[request.param]
    seeds = sample_seeds(0, torch.arange(len(x)))
    x_adv = craft(lambda m: AutoAttack(m, eps, norm), network, x, y, sample_seeds=seeds).x_adv
    ThreatModel(norm, eps).check(x, x_adv, "AutoAttack")
    return norm, stays_right(network, x_adv, y)


@pytest.mark.parametrize("peer", [of_its_parts, of_the_authors, of_adversarial_librarys_apgd])
def test_autoattack_leaves_no_more(small, advlib, ours, peer):
    norm, robust = ours
    their_robust = peer(norm, *small)
    print(f"AutoAttack {norm}: {robust.sum()} of {len(robust)} robust; {peer.__name__}: ", end="")
    print(f"{their_robust.sum()}")
    assert 0.1 < their_robust.float().mean() < 0.9
    assert robust.sum() <= their_robust.sum()
