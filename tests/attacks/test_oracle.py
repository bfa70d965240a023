"""Every attack against the linear oracle succeeds above the exact budget, and never below it."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
import torchattacks
from torch import nn
from torchattacks.attack import Attack as TorchAttack

from robust.attacks import (
    BIM,
    FGSM,
    IFGSM,
    MIFGSM,
    PGD,
    TGSM,
    RandomFGSM,
    TargetedBIM,
    craft,
)
from robust.threat import ThreatModel
from tests.support.cases import crossed
from tests.support.oracles import LinearOracle


class Case(NamedTuple):
    name: str
    norm: str
    build: Callable[[nn.Module, float], TorchAttack]
    targeted: bool = False


CASES = [
    Case("our FGSM", "Linf", FGSM),
    Case("our FGSM targeted", "Linf", FGSM, targeted=True),
    Case("our BIM", "Linf", BIM),
    Case("our BIM targeted", "Linf", BIM, targeted=True),
    Case("our BIM, DLR", "Linf", lambda m, eps: BIM(m, eps, loss="dlr")),
    Case("our BIM, bfloat16", "Linf", lambda m, eps: BIM(m, eps, precision="bfloat16")),
    Case("MIFGSM", "Linf", MIFGSM),
    Case("MIFGSM targeted", "Linf", MIFGSM, targeted=True),
    Case("IFGSM", "Linf", IFGSM),
    Case("IFGSM targeted", "Linf", IFGSM, targeted=True),
    Case("IFGSM unprojected", "Linf", lambda m, eps: IFGSM(m, eps / 10, project=False)),
    # Half of the random step points the wrong way and must be made good: no exact budget above.
    Case("RandomFGSM without its step", "Linf", lambda m, eps: RandomFGSM(m, eps, alpha=0.0)),
    Case(
        "RandomFGSM without its step, targeted",
        "Linf",
        lambda m, eps: RandomFGSM(m, eps, alpha=0.0),
        targeted=True,
    ),
    Case("PGD, margin", "Linf", lambda m, eps: PGD(m, eps, loss="margin")),
    Case("FGSM", "Linf", lambda m, eps: torchattacks.FGSM(m, eps=eps)),
    Case("FGSM targeted", "Linf", lambda m, eps: torchattacks.FGSM(m, eps=eps), targeted=True),
    Case("BIM", "Linf", lambda m, eps: torchattacks.BIM(m, eps=eps, alpha=eps / 10, steps=20)),
    Case("TGSM", "Linf", lambda m, eps: TGSM(m, eps), targeted=True),
    Case("TGSM Eq. 3", "Linf", lambda m, eps: TGSM(m, eps, equation=3), targeted=True),
    Case("TargetedBIM", "Linf", lambda m, eps: TargetedBIM(m, eps), targeted=True),
    Case(
        "TargetedBIM Eq. 5",
        "Linf",
        lambda m, eps: TargetedBIM(m, eps, difference=True),
        targeted=True,
    ),
    Case("PGD Linf", "Linf", lambda m, eps: PGD(m, eps, steps=20, restarts=2)),
    Case("PGD Linf targeted", "Linf", lambda m, eps: PGD(m, eps, steps=20), targeted=True),
    Case("PGD L2", "L2", lambda m, eps: PGD(m, eps, steps=20, norm="L2", restarts=2)),
    Case("PGD L2 targeted", "L2", lambda m, eps: PGD(m, eps, steps=20, norm="L2"), targeted=True),
    Case("PGD L1", "L1", lambda m, eps: PGD(m, eps, steps=20, norm="L1", restarts=2)),
    Case(
        "PGD L1 targeted",
        "L1",
        lambda m, eps: PGD(m, eps, steps=20, norm="L1", restarts=2),
        targeted=True,
    ),
    Case("APGD Linf", "Linf", lambda m, eps: torchattacks.APGD(m, eps=eps, steps=20)),
    Case("APGD L2", "L2", lambda m, eps: torchattacks.APGD(m, eps=eps, steps=20, norm="L2")),
    Case("Square Linf", "Linf", lambda m, eps: torchattacks.Square(m, eps=eps, n_queries=600)),
]


def attack(case: Case, factor: float, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    oracle = LinearOracle()
    x, y = oracle.samples(n)
    eps = factor * oracle.budget(case.norm)
    target = 1 - y if case.targeted else None
    crafted = craft(lambda model: case.build(model, eps), oracle, x, y, target=target, seed=3)
    ThreatModel(case.norm, eps).check(x, crafted.x_adv, case.name)
    return oracle(crafted.x_adv).argmax(dim=1), y


@pytest.mark.parametrize(
    ("case", "n"),
    crossed(CASES, [1, 2, 64], every=3),
    ids=lambda value: value.name if isinstance(value, Case) else None,
)
class TestOracle:
    def test_every_image_is_robust_below_the_exact_budget(self, case, n):
        predicted, y = attack(case, 0.9, n)
        assert torch.equal(predicted, y)

    def test_every_image_is_misclassified_above_the_exact_budget(self, case, n):
        predicted, y = attack(case, 1.1, n)
        assert torch.equal(predicted, 1 - y)


def test_samples_lie_at_the_margin_on_their_side():
    oracle = LinearOracle()
    x, y = oracle.samples(64)
    scores = oracle(x)
    assert torch.equal(scores.argmax(dim=1), y)
    torch.testing.assert_close((scores[:, 1] - scores[:, 0]).abs(), torch.full((64,), 0.8))
