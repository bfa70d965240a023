"""AutoAttack: order, survivors only, few classes, budgets."""

from itertools import product

import pytest
import torch
from torch import nn

from robust.attacks import craft
from robust.attacks.auto_attack import AutoAttack
from robust.attacks.gradient.apgd import APGD
from robust.attacks.judging import ranked_classes
from robust.errors import ConfigError
from robust.threat import ThreatModel
from tests.support.cases import of_all
from tests.support.oracles import LinearOracle

SHORT = {"steps": 10, "queries": 60}


@pytest.mark.parametrize(
    ("n", "classes"),
    of_all(product([1, 64], [2, 3, 4, 10]), default=[(64, 3), (1, 4)]),
)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_oracle(classes, norm, n):
    oracle = LinearOracle(classes)
    x, y = oracle.samples(n)
    for factor, expected in ((0.9, y), (1.1, 1 - y)):
        eps = factor * oracle.budget(norm)
        x_adv = craft(lambda m, e=eps: AutoAttack(m, e, norm, **SHORT), oracle, x, y).x_adv
        ThreatModel(norm, eps).check(x, x_adv, "autoattack")
        assert torch.equal(oracle(x_adv).argmax(dim=1), expected)


class Mixed(nn.Module):
    """Any gradient succeeds on half of the images, and none on the others."""

    def __init__(self):
        super().__init__()
        self.oracle = LinearOracle(4)

    def forward(self, x):
        scores = self.oracle(x)
        firm = (x[:, 0, -1, -1] > 0.9).unsqueeze(1)
        return torch.where(firm, torch.tensor([[9.0, 0.0, 0.0, 0.0]]) + 0 * scores, scores)


def test_later_attacks_see_survivors_only(monkeypatch):
    network = Mixed()
    x, y = network.oracle.samples(20)
    x[::2, 0, -1, -1] = 1.0
    y[::2] = 0
    sizes = []
    original = APGD.forward

    def spy(self, images, labels):
        sizes.append(len(images))
        return original(self, images, labels)

    monkeypatch.setattr(APGD, "forward", spy)
    eps = 1.2 * network.oracle.budget("Linf")
    x_adv = craft(lambda m: AutoAttack(m, eps, **SHORT), network, x, y).x_adv
    misclassified = network(x_adv).argmax(dim=1) != y
    assert not misclassified[::2].any()
    assert misclassified[1::2].all()
    # Cross-entropy on all, then three targets on the ten that are robust.
    assert sizes == [20, 10, 10, 10]


def test_the_standard_lengths():
    attack = AutoAttack(LinearOracle(10), 0.1)
    turns = list(attack._attacks_in_turn(10))
    assert [type(a).__name__ for a in turns] == ["APGD"] * 10 + ["FAB", "Square"]
    assert [a.rank for a in turns[:10]] == [None, *range(9)]
    assert {a.steps for a in turns[:11]} == {100}
    assert {a.loss for a in turns[1:10]} == {"dlr"}
    assert turns[10].targets == 9
    assert turns[-1].queries == 5000
    assert all(a.eps == 0.1 for a in turns)


def test_any_other_class_ends_the_climb_towards_one():
    """In targeted mode it would go on to the target."""
    oracle = LinearOracle(4)
    x, y = (part[1::2] for part in oracle.samples(8))
    aims = ranked_classes(oracle(x), y)[:, 2]
    assert (aims > 1).all()
    eps = 2 * oracle.budget("Linf")
    crafted = craft(lambda m: APGD(m, eps, 10, loss="margin", rank=2), oracle, x, y)
    assert torch.equal(oracle(crafted.x_adv).argmax(dim=1), 1 - y)
    # One pass to rank the classes, and one after the start and after each step.
    assert crafted.forwards < 5
    to_the_end = craft(lambda m: APGD(m, eps, 10, loss="margin"), oracle, x, y, target=aims)
    assert to_the_end.forwards == 11


@pytest.mark.parametrize("name", ["steps", "targets", "queries"])
def test_arguments_are_checked(name):
    with pytest.raises(ConfigError, match=f"`{name}` to be at least 1"):
        AutoAttack(LinearOracle(), 0.1, **{name: 0})
