"""Attacks are confined to a mask or to a square patch: nothing else moves, in any norm."""

import pytest
import torch
import torchattacks
from torch import nn

from robust.attacks import (
    APGD,
    DDN,
    FMN,
    PGD,
    HopSkipJump,
    Pointwise,
    SigmaZero,
    Square,
    craft,
    sample_seeds,
)
from robust.attacks.area import places_of
from robust.attacks.views import Several
from robust.errors import ConfigError
from robust.threat import ThreatModel, ThreatModelViolation
from tests.support.factories import evaluate
from tests.support.oracles import LinearOracle

N = 3
MASK = [[0, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]
"""Five pixels that are no rectangle. At most 2.5 can be gained there, where .8 are needed."""
ATTACKS = {
    "PGD Linf": ("Linf", 0.4, lambda m: PGD(m, 0.4, steps=5)),
    "PGD L2": ("L2", 0.5, lambda m: PGD(m, 0.5, steps=8, norm="L2")),
    "APGD L1": ("L1", 1.2, lambda m: APGD(m, 1.2, steps=10, norm="L1", loss="margin")),
    "Square": ("Linf", 0.45, lambda m: Square(m, "Linf", 0.45, queries=60)),
    "DDN": ("L2", 0.5, lambda m: DDN(m, steps=15)),
    "FMN L0": ("L0", 3.0, lambda m: FMN(m, "L0", steps=10)),
    "SigmaZero": ("L0", 3.0, lambda m: SigmaZero(m, steps=15)),
    "HopSkipJump": ("L2", 1.0, lambda m: HopSkipJump(m, iterations=2, initial_evaluations=10)),
    "Pointwise": ("L0", 5.0, lambda m: Pointwise(m, repetitions=2, levels=10)),
    "torchattacks.PGD": ("Linf", 0.4, lambda m: torchattacks.PGD(m, 0.4, 0.1, 5)),
}


def confined(attack, allowed, *, view=None, judge=None):
    oracle = LinearOracle(3)
    x, y = oracle.samples(N)
    seeds = sample_seeds(0, torch.arange(N))
    view = oracle if view is None else view(oracle)
    made = craft(attack, view, x, y, sample_seeds=seeds, judge=judge, allowed=allowed)
    minimal = "eps" not in vars(attack(oracle))
    allowed.check(x, made.x_adv, "it", budget=not minimal)
    return x, made, oracle(made.x_adv).argmax(dim=1) != y


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("area", [{"mask": MASK}, {"patch": 3}])
def test_every_image_is_misclassified_and_nothing_else_moves(name, area):
    norm, eps, attack = ATTACKS[name]
    x, made, misclassified = confined(attack, ThreatModel(norm, eps, **area))
    assert misclassified.all()
    changed = (made.x_adv != x).any(dim=1)
    assert changed.flatten(1).any(dim=1).all()
    if "mask" in area:
        assert not (changed & ~torch.tensor(MASK).bool()).any()
    else:
        for image in changed:
            spans = [image.any(dim=d).nonzero() for d in (0, 1)]
            assert max(int(s.max() - s.min()) for s in spans) < 3
    assert made.forwards > 0


def test_a_mask_that_gains_too_little_leaves_the_image():
    """Of one pixel a linear function gains at most half of what is needed."""
    mask = [[0] * 5, [0, 0, 1, 0, 0], *[[0] * 5] * 3]
    _, _, misclassified = confined(lambda m: PGD(m, 1.0, steps=5), ThreatModel("Linf", 1.0, mask))
    assert not misclassified.any()


def test_what_may_change_does_not_depend_on_the_other_images():
    norm, eps, attack = ATTACKS["PGD Linf"]
    allowed, oracle = ThreatModel(norm, eps, patch=2), LinearOracle(3)
    x, y = oracle.samples(4)
    seeds = sample_seeds(0, torch.arange(4))
    full = craft(attack, oracle, x, y, sample_seeds=seeds, allowed=allowed).x_adv
    for i in range(4):
        rows = slice(i, i + 1)
        one = craft(attack, oracle, x[rows], y[rows], sample_seeds=seeds[rows], allowed=allowed)
        assert torch.equal(one.x_adv, full[rows])


def test_a_judge_inside_of_the_view_sees_the_complete_image():
    allowed = ThreatModel("Linf", 0.4, MASK)
    attack = ATTACKS["PGD Linf"][2]
    oracle = LinearOracle(3)
    x, y = oracle.samples(N)
    view = nn.Sequential(nn.Identity(), oracle)
    x_adv = craft(attack, view, x, y, judge=oracle, allowed=allowed).x_adv
    assert (oracle(x_adv).argmax(dim=1) != y).all()
    several = Several({"first": view, "second": oracle})
    x_adv = craft(attack, several, x, y, judge=oracle, allowed=allowed).x_adv
    allowed.check(x, x_adv, "it")
    assert not oracle._forward_pre_hooks
    assert not oracle._forward_hooks


def test_places_are_those_of_the_largest_slopes_and_differ():
    gradient = torch.zeros(1, 1, 8, 8)
    gradient[0, 0, 5:8, 0:3] = 2
    gradient[0, 0, 0:3, 4:7] = -1
    places = places_of(gradient, 3)[0].tolist()
    assert places[:2] == [[5, 0], [0, 4]]
    assert len({tuple(place) for place in places}) == 5


@pytest.mark.parametrize(
    ("allowed", "message"),
    [
        (
            ThreatModel("Linf", 0.1, [[1, 0]]),
            "`mask` of 5 x 5 pixels.*but got 1 x 2",
        ),
        (ThreatModel("Linf", 0.1, patch=6), "`patch` that fits into images of 5 x 5"),
    ],
)
def test_an_area_fits_the_images(allowed, message):
    with pytest.raises(ConfigError, match=message):
        confined(lambda m: PGD(m, 0.1), allowed)


@pytest.mark.parametrize(
    ("area", "message"),
    [
        ({"mask": [[1], [1, 0]]}, "all of one length"),
        ({"mask": [[0, 0]]}, "at least a one"),
        ({"mask": [[2, 1]]}, "zeros and ones"),
        ({"mask": []}, "zeros and ones"),
        ({"patch": 0}, "`patch` to be at least 1"),
        ({"patch": 2, "mask": [[1]]}, "got both"),
    ],
)
def test_what_is_no_area_is_one_line(area, message):
    with pytest.raises(ConfigError, match=message) as caught:
        ThreatModel("Linf", 0.1, **area)
    assert "\n" not in str(caught.value)


def test_a_change_outside_is_a_violation():
    x = torch.full((2, 1, 5, 5), 0.5)
    for pixels, allowed in (
        ([(0, 0)], ThreatModel("Linf", 0.3, MASK)),
        ([(0, 0), (0, 3)], ThreatModel("Linf", 0.3, patch=3)),
        ([(0, 1), (4, 1)], ThreatModel("L0", 3.0, patch=3)),
    ):
        x_adv = x.clone()
        for row, column in pixels:
            x_adv[1, 0, row, column] = 0.7
        with pytest.raises(ThreatModelViolation, match="changed pixels that are not in"):
            allowed.check(x, x_adv, "pgd", budget=False)
        allowed.check(x[:1], x_adv[:1], "pgd")


def test_a_projection_keeps_to_the_mask():
    allowed = ThreatModel("L2", 0.3, MASK)
    x = torch.full((2, 1, 5, 5), 0.5)
    allowed.check(x, allowed.project(x, torch.ones_like(x)), "projection")


def test_a_suite_says_its_area(data, tmp_path):
    attacks = {"pgd": lambda m, eps=0.3: PGD(m, eps, steps=3)}
    budgets = []
    for area in ({}, {"patch": 3}):
        asked = {"attacks": attacks, "threat_model": ThreatModel("Linf", 0.3, **area)}
        result, _ = evaluate(data, tmp_path, **asked, limit=4, views=["deployed"])
        budgets.append(result.header.attacks["pgd"].budget)
    assert budgets == ["Linf 0.3", "Linf 0.3 in a patch of 3x3"]
    assert 0 < result.rows["l0"].max() <= 9
    assert len(list(tmp_path.rglob("*.csv"))) == 2
