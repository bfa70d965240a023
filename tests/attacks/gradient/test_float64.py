"""`precision: float64`: gradients that vanish in float32 are there, and the defense judges."""

import pytest
import torch
from torch import nn

from robust.attacks import APGD, BIM, FGSM, PGD, craft
from robust.attacks.gradient.doubled import doubled
from robust.errors import ConfigError
from robust.threat import ThreatModel
from tests.support.oracles import LinearOracle

EPS = 1.1 * LinearOracle().budget("Linf")


KINDS = []
"""Types of the images that networks were called with, also copies."""


class Sure(nn.Module):
    """A network whose softmax rounds to one in float32, and is squeezed by sigmoids if asked."""

    def __init__(self, squeezed=False):
        super().__init__()
        self.oracle, self.squeezed = LinearOracle(3), squeezed

    def forward(self, x):
        KINDS.append(x.dtype)
        # Sure by 28 logits: 17 round to one in float32, and 36 in float64.
        z = 35 * self.oracle(x)
        return 4 * torch.sigmoid(z) if self.squeezed else z


ATTACKS = {
    "FGSM": lambda precision: lambda m: FGSM(m, EPS, precision=precision),
    "BIM": lambda precision: lambda m: BIM(m, EPS, steps=10, precision=precision),
    "PGD": lambda precision: lambda m: PGD(m, EPS, steps=10, precision=precision),
    "PGD L2": lambda precision: (
        lambda m: PGD(
            m, 1.1 * LinearOracle().budget("L2"), steps=10, norm="L2", precision=precision
        )
    ),
    "APGD": lambda precision: lambda m: APGD(m, EPS, steps=10, precision=precision),
}


def misclassified(attack, network, **arguments):
    x, y = LinearOracle(3).samples(6)
    x_adv = craft(attack, network, x, y, **arguments).x_adv
    assert x_adv.dtype == torch.float32
    norm = getattr(attack(network), "norm", "Linf")
    ThreatModel(norm, attack(network).eps).check(x, x_adv, "it")
    return network(x_adv).argmax(dim=1) != y


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("squeezed", [False, True])
def test_it_finds_what_float32_cannot(name, squeezed):
    network = Sure(squeezed)
    if name in ("FGSM", "BIM"):
        # From the clean image the label's gradient is exactly zero.
        assert not misclassified(ATTACKS[name]("float32"), network).all()
    assert misclassified(ATTACKS[name]("float64"), network).all()


@pytest.mark.parametrize("name", ["PGD", "APGD"])
def test_the_defense_judges_as_it_is(name):
    network = Sure()
    KINDS.clear()
    found = misclassified(ATTACKS[name]("float64"), network, judge=network)
    assert found.all()
    assert {torch.float32, torch.float64} <= set(KINDS)
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_passes_in_float64_are_counted():
    oracle = LinearOracle(3)
    x, y = oracle.samples(3)
    counts = [
        craft(
            lambda m, p=p: BIM(m, 0.01, steps=7, early_stop=False, precision=p), oracle, x, y
        ).forwards
        for p in ("float32", "float64")
    ]
    assert counts == [7, 7]


def test_what_cannot_be_copied_is_one_line():
    oracle = LinearOracle(3)
    oracle.weights = oracle.w * 2
    with pytest.raises(ConfigError, match="can be copied for `precision: float64`") as caught:
        doubled(oracle)
    assert "\n" not in str(caught.value)
