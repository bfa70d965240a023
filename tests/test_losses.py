"""Losses against formulas written out, and on scores that are no logits."""

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from robust.losses import (
    NAMED,
    Loss,
    cross_entropy,
    dlr,
    log_odds,
    margin,
    targeted_dlr,
)

SCORES = torch.tensor([[3.0, 1.0, 0.5, -2.0, 0.0], [-5.0, -1.0, -9.0, -2.0, -3.0]])
Y = torch.tensor([0, 3])


def test_margin_by_hand_also_of_negative_scores():
    assert margin(SCORES, Y).tolist() == [1.0 - 3.0, -1.0 + 2.0]


def test_dlr_by_hand():
    expected = [-(3.0 - 1.0) / (3.0 - 0.5), -(-2.0 + 1.0) / (-1.0 + 3.0)]
    assert dlr(SCORES, Y).tolist() == pytest.approx(expected)


def test_targeted_dlr_by_hand():
    target = torch.tensor([2, 0])
    expected = [
        -(3.0 - 0.5) / (3.0 - (0.5 + 0.0) / 2),
        -(-2.0 + 5.0) / (-1.0 - (-3.0 - 5.0) / 2),
    ]
    assert targeted_dlr(SCORES, Y, target).tolist() == pytest.approx(expected)


def test_cross_entropy_is_of_the_softmax():
    expected = -SCORES.log_softmax(dim=1)[torch.arange(2), Y]
    torch.testing.assert_close(cross_entropy(SCORES, Y), expected)


@pytest.mark.parametrize("loss", [dlr, lambda s, y: targeted_dlr(s, y, (y + 1) % 5)])
@pytest.mark.parametrize("change", [lambda s: s * 1000, lambda s: s - 77])
def test_ratios_do_not_change_with_scale_and_shift(loss, change):
    torch.testing.assert_close(loss(change(SCORES), Y), loss(SCORES, Y), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes_have_losses_too(classes):
    scores, y = SCORES[:, :classes], torch.tensor([0, 1])
    for loss in (dlr(scores, y), targeted_dlr(scores, y, 1 - y)):
        assert torch.isfinite(loss).all()
    assert torch.equal(dlr(SCORES[:, :2], y), margin(SCORES[:, :2], y))


def test_equal_scores_have_no_ratio_but_are_finite():
    scores = torch.zeros(2, 5)
    assert dlr(scores, Y).tolist() == [0, 0]


def gradient_of(loss, scores, y):
    scores = scores.clone().requires_grad_()
    return torch.autograd.grad(loss(scores, y).sum(), scores)[0]


@pytest.mark.parametrize("scale", [1, 5, 10])
def test_cross_entropy_is_the_softplus_of_the_log_odds(scale):
    """Compared with float64, which does not round here."""
    scores = scale * SCORES
    wide = scores.double()
    torch.testing.assert_close(
        F.softplus(log_odds(scores, Y)).double(), cross_entropy(wide, Y), rtol=1e-5, atol=0
    )
    directions = (
        F.normalize(gradient_of(loss, x, Y).double())
        for loss, x in ((log_odds, scores), (cross_entropy, wide))
    )
    torch.testing.assert_close(*directions, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("scale", [1, 1000])
def test_only_the_log_odds_have_the_label_once_the_softmax_rounds_to_one(scale):
    scores, y = scale * torch.tensor([[30.0, 5.0, 0.0]]), torch.tensor([0])
    runner_up = 1 / (1 + math.exp(-5 * scale))
    gradient = gradient_of(log_odds, scores, y)[0].tolist()
    assert gradient == pytest.approx([-1, runner_up, 1 - runner_up], rel=1e-5, abs=1e-7)
    rounded = gradient_of(cross_entropy, scores, y)[0].tolist()
    assert rounded == pytest.approx(
        [0, math.exp(-25 * scale), math.exp(-30 * scale)], rel=1e-5, abs=0
    )


def test_every_named_loss_is_the_function_of_that_name():
    assert {name: loss.__name__ for name, loss in NAMED.items()} == {n: n for n in get_args(Loss)}


@pytest.mark.parametrize("label", [0, 1, 2])
def test_the_probability_margin_is_that_of_the_softmax(label):
    scores = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 4.0, 4.0]])
    y = torch.full((2,), label)
    p = scores.softmax(dim=1)
    others = [k for k in range(3) if k != label]
    expected = p[:, others].amax(dim=1) - p[:, label]
    torch.testing.assert_close(NAMED["probability_margin"](scores, y), expected)
