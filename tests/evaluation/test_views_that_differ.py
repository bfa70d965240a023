"""An adaptive view that predicts otherwise than its defense is an error with the count."""

import pytest
import torch
from torch import nn

from robust.errors import ConfigError
from tests.evaluation.test_attacked_images import data  # noqa: F401
from tests.support.factories import evaluate, linear
from tests.support.tiny import Plain


class Viewed(Plain):
    """A defense whose adaptive view is what a test says."""

    def __init__(self, view):
        super().__init__(linear())
        self.made = [view]

    def adaptive_view(self):
        return self.made[0](self)


class Shaped(nn.Module):
    """A function of the scores."""

    def __init__(self, defense, function):
        super().__init__()
        self.defense, self.function = defense, function

    def forward(self, x):
        return self.function(self.defense(x))


def test_one_that_predicts_other_classes(data, tmp_path):  # noqa: F811
    rolled = Viewed(lambda defense: Shaped(defense, lambda scores: scores.roll(1, dims=1)))
    with pytest.raises(ConfigError, match="predicts like Viewed, but it differs on 12 of 12"):
        evaluate(data, tmp_path, rolled)


@pytest.mark.parametrize("function", [lambda z: 5 * z, lambda z: z.log_softmax(dim=1)])
def test_one_that_changes_the_gradient_alone(data, tmp_path, function):  # noqa: F811
    found, _ = evaluate(data, tmp_path, Viewed(lambda defense: Shaped(defense, function)))
    assert len(found.rows) == 24


def test_ties_may_fall_otherwise(data, tmp_path):  # noqa: F811
    class Equal(nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 3) + 0 * x.flatten(1)[:, :1]

    tied = Viewed(lambda defense: Shaped(defense, lambda scores: scores + torch.eye(3)[2]))
    tied.network = Equal()
    found, _ = evaluate(data, tmp_path, tied)
    assert len(found.rows) == 24
