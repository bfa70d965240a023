"""Restarts of PGD that climb one loss after the other."""

from functools import partial

import pytest
import torch
from torch import nn

from robust.attacks import PGD
from robust.errors import ConfigError
from robust.loading.suites import evaluation_of_suite
from robust.threat import ThreatModel

# Of two pixels. In the first network the other classes pull in opposite directions, so that what
# log-odds sum up is small. In the second, the class that is nearest is not the one to go for.
ONLY_MARGIN = ([[0.0, 0.0], [1.0, -0.9], [-0.9, 1.0]], [0.0, -0.15, -0.16])
ONLY_LOG_ODDS = ([[0.0, 0.0], [-0.01, -0.01], [2.0, 2.0]], [0.0, -0.4, -2.6])


def network(weight, bias):
    linear = nn.Linear(2, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weight))
        linear.bias.copy_(torch.tensor(bias))
    return nn.Sequential(nn.Flatten(), linear)


def misclassified(model, **arguments):
    x, y = torch.full((1, 1, 1, 2), 0.5), torch.tensor([0])
    assert model(x).argmax(dim=1) == y
    # One step each, from the image: the results are exact.
    attack = PGD(model, 0.2, 0.2, steps=1, random_start=False, **arguments)
    return bool(model(attack(x, y)).argmax(dim=1) != y)


@pytest.mark.parametrize(
    ("which", "margin", "log_odds"), [(ONLY_MARGIN, True, False), (ONLY_LOG_ODDS, False, True)]
)
def test_an_image_yields_to_one_of_them(which, margin, log_odds):
    assert misclassified(network(*which), loss="margin") == margin
    assert misclassified(network(*which), loss="log_odds") == log_odds
    for both in (("margin", "log_odds"), ["log_odds", "margin"]):
        assert misclassified(network(*which), loss=both, restarts=2)


def test_falling_steps_end_at_zero():
    """Their lengths are eps, 3/4, 1/2 and 1/4 of it; the ball bounds their sum."""
    lengths = []

    class Flat(nn.Module):
        def forward(self, x):
            lengths.append(x.detach().flatten()[0].item() - 0.5)
            return torch.stack([0 * x.flatten(1).sum(1) + 9, x.flatten(1).sum(1)], dim=1)

    x, y = torch.full((1, 1, 1, 2), 0.5), torch.tensor([0])
    attack = PGD(Flat(), 0.4, steps=4, random_start=False, early_stop=False, falling=True)
    attack.threat_model = ThreatModel("Linf", 1.0)
    lengths.append(attack(x, y).flatten()[0].item() - 0.5)
    assert lengths[:4] == pytest.approx([0.0, 0.4, 0.5, 0.5])
    small = PGD(Flat(), 0.4, 0.1, steps=4, random_start=False, early_stop=False, falling=True)
    assert small(x, y).flatten().tolist() == pytest.approx([0.75, 0.75])


def test_a_suite_names_them():
    attack = {
        "class_path": "robust.attacks.PGD",
        "init_args": {"loss": ["log_odds", "margin"], "restarts": 2},
    }
    info = evaluation_of_suite({"a": attack}).suite.infos["a"]
    assert info.arguments["loss"] == ["log_odds", "margin"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": ("margin", "log_odds")}, "at most one for each of 1 restarts, but got 2"),
        ({"loss": ()}, "at least one `loss`"),
    ],
)
def test_what_cannot_be_climbed_in_turn(arguments, message):
    with pytest.raises(ConfigError, match=message):
        partial(PGD, network(*ONLY_MARGIN))(**arguments)
