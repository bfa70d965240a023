"""AutoAttack: order, survivors only, few classes, budgets."""

import pytest
import torch
from torch import nn

from robust.attacks import craft
from robust.attacks.apgd import APGD
from robust.attacks.auto_attack import AutoAttack
from robust.errors import ConfigError
from robust.threat import ThreatModel
from tests.oracles import LinearOracle

SHORT = {"steps": 10, "queries": 60}


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("n", [1, 64])
def test_oracle(classes, norm, n):
    oracle = LinearOracle(classes)
    x, y = oracle.samples(n)
    for factor, expected in ((0.9, y), (1.1, 1 - y)):
        eps = factor * oracle.budget(norm)
        x_adv = craft(lambda m, e=eps: AutoAttack(m, e, norm, **SHORT), oracle, x, y).x_adv
        ThreatModel(norm, eps).check(x, x_adv, "autoattack")
        assert torch.equal(oracle(x_adv).argmax(dim=1), expected)


class Mixed(nn.Module):
    """Half of the images are broken by any gradient; the rest by none."""

    def __init__(self):
        super().__init__()
        self.oracle = LinearOracle(4)

    def forward(self, x):
        scores = self.oracle(x)
        firm = (x[:, 0, -1, -1] > 0.9).unsqueeze(1)
        return torch.where(firm, torch.tensor([[9.0, 0.0, 0.0, 0.0]]) + 0 * scores, scores)


def test_later_attacks_see_survivors_only(monkeypatch):
    net = Mixed()
    x, y = net.oracle.samples(20)
    x[::2, 0, -1, -1] = 1.0
    y[::2] = 0
    sizes = []
    original = APGD.forward

    def spy(self, images, labels):
        sizes.append(len(images))
        return original(self, images, labels)

    monkeypatch.setattr(APGD, "forward", spy)
    eps = 1.2 * net.oracle.budget("Linf")
    x_adv = craft(lambda m: AutoAttack(m, eps, **SHORT), net, x, y).x_adv
    broken = net(x_adv).argmax(dim=1) != y
    assert not broken[::2].any()
    assert broken[1::2].all()
    # Cross-entropy on all, then three targets on the ten that resist.
    assert sizes == [20, 10, 10, 10]


def test_the_standard_lengths():
    attack = AutoAttack(LinearOracle(10), 0.1)
    turns = list(attack._attacks_in_turn(10))
    names = [type(a).__name__ for a, _ in turns]
    assert names == ["APGD"] * 10 + ["FAB", "Square"]
    assert [rank for _, rank in turns] == [None, *range(9), None, None]
    assert {a.steps for a, _ in turns[:11]} == {100}
    assert {a.loss for a, _ in turns[1:10]} == {"dlr"}
    assert turns[-1][0].queries == 5000
    assert all(a.eps == 0.1 for a, _ in turns)


@pytest.mark.parametrize("name", ["steps", "targets", "queries"])
def test_arguments_are_checked(name):
    with pytest.raises(ConfigError, match=f"`{name}` to be at least 1"):
        AutoAttack(LinearOracle(), 0.1, **{name: 0})
