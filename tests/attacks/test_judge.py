"""Minimal-norm attacks go on to where the judge, not only the view, has lost an image."""

import pytest
import torch
from torch import nn

from robust.attacks import DDN, JSMA, LBFGS, CarliniWagner, DeepFool, MinimalFGSM, craft
from tests.support.cases import crossed
from tests.support.oracles import MARGIN, LinearOracle


def judged(oracle, bias):
    """The oracle, of which class 0 is ahead by ``bias``: its boundary is further out."""
    judge = nn.Sequential(oracle, nn.Linear(2, 2))
    with torch.no_grad():
        judge[1].weight.copy_(torch.eye(2))
        judge[1].bias.copy_(torch.tensor([bias, 0.0]))
    return judge


@pytest.mark.parametrize(
    ("attack", "targeted"), crossed([DeepFool, CarliniWagner, DDN, LBFGS], [False, True], every=2)
)
def test_minimal_attacks_convince_the_judge(attack, targeted):
    if targeted and attack is DeepFool:
        with pytest.raises(ValueError, match="Targeted mode is not supported"):
            attack(LinearOracle()).set_mode_targeted_by_label()
        return
    oracle = LinearOracle()
    x, y = oracle.samples(12)
    x, y = x[y == 0], y[y == 0]
    target = 1 - y if targeted else None
    # The judge's boundary is 30 % further than the view's.
    judge = judged(oracle, 0.3 * MARGIN)
    alone, convinced = (
        craft(attack, oracle, x, y, target=target, judge=j).x_adv for j in (None, judge)
    )
    assert (oracle(alone).argmax(dim=1) != y).all()
    assert (judge(alone).argmax(dim=1) == y).all()
    assert (judge(convinced).argmax(dim=1) != y).all()
    lengths = [(images - x).flatten(1).norm(dim=1) for images in (alone, convinced)]
    assert ((lengths[1] / lengths[0]) <= 1.5 + 1e-3).all()


def test_an_image_that_no_push_helps_is_as_the_attack_left_it():
    oracle = LinearOracle()
    x, y = oracle.samples(12)
    x, y = x[y == 0], y[y == 0]
    firm = judged(oracle, 100.0)
    results = [craft(DeepFool, oracle, x, y, judge=j).x_adv for j in (None, firm)]
    assert torch.equal(*results)


def test_the_minimal_fgsm_goes_on_until_the_judge_has_lost_the_image():
    oracle = LinearOracle()
    x, y = oracle.samples(12)
    x, y = x[y == 0], y[y == 0]
    # Three times as far: more than what is pushed at the end.
    far = judged(oracle, 2 * MARGIN)
    budget = oracle.budget("Linf")
    results = [
        craft(lambda m: MinimalFGSM(m, budget / 10, 9 * budget), oracle, x, y, judge=judge).x_adv
        for judge in (None, far)
    ]
    lengths = [((images - x).abs().amax(dim=(1, 2, 3)) / budget) for images in results]
    torch.testing.assert_close(lengths[0], torch.ones(len(x)), atol=0.11, rtol=0)
    torch.testing.assert_close(lengths[1], torch.full((len(x),), 3.0), atol=0.11, rtol=0)
    assert (far(results[1]).argmax(dim=1) != y).all()


def test_what_jsma_changed_in_vain_goes_no_further():
    oracle = LinearOracle()
    x, y = oracle.samples(12)
    x, y = x[y == 0], y[y == 0]
    # Two features of 0.1 are not enough for the view; the judge would fall to a little more.
    near = judged(oracle, -0.35 * MARGIN)
    assert (near(x).argmax(dim=1) == y).all()
    results = [
        craft(lambda m: JSMA(m, 0.1, gamma=0.08), oracle, x, y, judge=judge).x_adv
        for judge in (None, near)
    ]
    assert (oracle(results[0]).argmax(dim=1) == y).all()
    assert (results[0] != x).flatten(1).any(dim=1).all()
    assert torch.equal(*results)
