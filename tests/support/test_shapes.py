"""What our own wrapper in `tests/support/shapes.py` still finds."""

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation

from robust.defenses import Standard
from robust.losses import margin
from robust.threat import ThreatModel
from tests.support.tiny import TinyNetwork

IMAGES = torch.zeros(2, 1, 28, 28)


def test_a_wrong_type():
    with pytest.raises(BeartypeCallHintViolation, match="5"):
        ThreatModel("Linf", 0.1).check(IMAGES, IMAGES, 5)


def test_a_wrong_number_of_axes():
    with pytest.raises(BeartypeCallHintViolation):
        Standard(TinyNetwork()).training_loss(IMAGES[0], torch.zeros(2, dtype=torch.int64))


def test_axes_that_do_not_agree():
    with pytest.raises(BeartypeCallHintViolation):
        margin(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))


def test_what_a_function_returns():
    class OneScore(TinyNetwork):
        def forward(self, x):
            return super().forward(x)[:, 0]

    with pytest.raises(BeartypeCallHintViolation, match="return"):
        Standard(OneScore())(IMAGES)


def test_axes_of_images_that_do_not_agree():
    with pytest.raises(BeartypeCallHintViolation):
        Standard(TinyNetwork()).training_loss(IMAGES, torch.zeros(3, dtype=torch.int64))


def test_axes_that_do_not_agree_after_those_that_did():
    x, y = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    for n in (1, 2, 2):  # each call has its own sizes
        assert margin(x[:n], y[:n]).shape == (n,)
    for wrong in (y[:1], y.float(), y.view(2, 1)):
        with pytest.raises(BeartypeCallHintViolation):
            margin(x, wrong)
