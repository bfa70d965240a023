"""Losses against formulas written out, and on scores that are no logits."""

import pytest
import torch

from robust.losses import cross_entropy, dlr, margin, targeted_dlr

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
