"""Every attack of ``robust.attacks``, short, for the tests that all of them must pass."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
from torch import nn

import robust.attacks as attacks
from robust.attacks import (
    APGD,
    BIM,
    DDN,
    FAB,
    FGSM,
    FMN,
    IFGSM,
    JSMA,
    LBFGS,
    MIFGSM,
    PDPGD,
    PGD,
    TGSM,
    AdditiveGaussianNoise,
    AdditiveUniformNoise,
    Attack,
    AutoAttack,
    BoundaryAttack,
    CarliniWagner,
    DeepFool,
    HopSkipJump,
    MinimalFAB,
    MinimalFGSM,
    Pointwise,
    RandomFGSM,
    ReleasedCarliniWagner,
    ReleasedFGSM,
    SigmaZero,
    SinglePixel,
    Square,
    Strong,
    TargetedBIM,
)
from tests.support.oracles import LinearOracle

EXPORTED = {
    value
    for value in (getattr(attacks, name) for name in attacks.__all__)
    if isinstance(value, type) and issubclass(value, Attack) and value is not Attack
}


@dataclass(frozen=True)
class Short:
    """An attack with so few steps that a test of it takes milliseconds."""

    attack: type[Attack]
    build: Callable[[nn.Module, float], Attack]
    """Of a view and a radius, which minimal-norm attacks ignore."""
    norm: str
    """Of the radius; of the distance that a minimal-norm attack keeps small."""
    budget: bool = False
    """Whether it stays within a radius."""
    gradient: bool = True
    enough: float | None = 1.1
    """At this multiple of the oracle's exact budget it succeeds on every image. None where even
    the largest radius does not promise that."""
    saturates: bool = False
    """Whether it climbs the cross-entropy of the label, which is flat on scores of hundreds."""
    looks: bool = True
    """Whether it asks first if an image is misclassified, and leaves it alone if so."""
    honest: bool = True
    """Whether an image comes back as it was where the attack failed."""
    scores_lead: bool = False
    """Whether its steps are as long as scores say, which those of a binarized input mislead."""

    @property
    def targeted(self) -> bool:
        """Whether it has a targeted mode."""
        return "targeted" in self.build(LinearOracle(), 0.1).supported_mode


def _budget(attack, norm="Linf", **arguments):
    """A gradient attack within a radius, which climbs from the first step on."""
    named = {"norm": norm} if norm != "Linf" else {}
    return Short(
        attack,
        lambda view, eps: attack(view, eps, **named, **arguments),
        norm,
        budget=True,
        looks=False,
        honest=False,
        saturates=arguments.get("loss", "cross_entropy") == "cross_entropy",
    )


def _minimal(attack, norm="L2", *, gradient=True, enough=1.1, honest=True, **arguments):
    named = {"norm": norm} if norm == "Linf" or attack in (FMN, PDPGD) else {}
    return Short(
        attack,
        lambda view, eps: attack(view, **named, **arguments),
        norm,
        gradient=gradient,
        enough=enough,
        honest=honest,
    )


def _square(norm):
    return Short(
        Square,
        lambda view, eps: Square(view, norm, eps, queries=30),
        norm,
        budget=True,
        gradient=False,
        enough={"Linf": 3.0, "L2": None}[norm],
        honest=False,
    )


def _fab(norm):
    return Short(
        FAB,
        lambda view, eps: FAB(view, eps, norm, steps=5),
        norm,
        budget=True,
        scores_lead=True,
    )


def _minimal_fab(norm):
    return Short(
        MinimalFAB,
        lambda view, eps: MinimalFAB(view, norm, steps=5),
        norm,
        enough=1.05,
        scores_lead=True,
    )


def _auto(norm):
    return Short(
        AutoAttack,
        lambda view, eps: AutoAttack(view, eps, norm, steps=5, queries=20),
        norm,
        budget=True,
    )


def _strong(norm, **arguments):
    return Short(
        Strong,
        lambda view, eps: Strong(view, eps, norm, queries=20, **arguments),
        norm,
        budget=True,
        honest=False,
    )


_PIXELS = {"mean": (0.0,), "std": (1.0,)}


def _released(**arguments):
    """In pixels as they are: clipped to [0, 1] and moved by at most the radius."""
    return Short(
        ReleasedFGSM,
        lambda view, eps: ReleasedFGSM(view, eps, **_PIXELS, **arguments),
        "Linf",
        budget=True,
        saturates=True,
        looks=False,
        honest=False,
    )


_query = partial(_minimal, gradient=False)

EVERY = {
    "FGSM": _budget(FGSM),
    "FGSM margin": _budget(FGSM, loss="margin"),
    "FGSM log odds": _budget(FGSM, loss="log_odds"),
    "TGSM": _budget(TGSM),
    "RandomFGSM": Short(
        RandomFGSM,
        lambda view, eps: RandomFGSM(view, eps, alpha=eps / 10),
        "Linf",
        budget=True,
        # A tenth of the way may be the wrong one, and must be made good.
        enough=1.3,
        saturates=True,
        looks=False,
        honest=False,
    ),
    "MinimalFGSM": Short(MinimalFGSM, lambda view, eps: MinimalFGSM(view), "Linf"),
    "BIM": _budget(BIM, steps=10),
    "BIM dlr": _budget(BIM, steps=10, loss="dlr"),
    "BIM bfloat16": _budget(BIM, steps=10, precision="bfloat16"),
    "TargetedBIM": _budget(TargetedBIM, steps=10),
    "MIFGSM": _budget(MIFGSM, steps=5),
    "MIFGSM log odds": _budget(MIFGSM, steps=5, loss="log_odds"),
    "IFGSM": _budget(IFGSM, steps=3),
    "IFGSM log odds": _budget(IFGSM, steps=3, loss="log_odds"),
    "IFGSM unprojected": Short(
        IFGSM,
        lambda view, eps: IFGSM(view, eps / 5, steps=5, project=False),
        "Linf",
        budget=True,
        saturates=True,
        looks=False,
        honest=False,
    ),
    "ReleasedFGSM": _released(),
    "ReleasedFGSM iterated": _released(step=1.0, steps=3),
    "ReleasedCarliniWagner": Short(
        ReleasedCarliniWagner,
        lambda view, eps: ReleasedCarliniWagner(view, c=100.0, steps=9, lr=0.1, **_PIXELS),
        "L2",
        enough=None,
        looks=False,
        honest=False,
    ),
    "PGD Linf": _budget(PGD, steps=5, restarts=2),
    "PGD L2": _budget(PGD, "L2", steps=6, loss="margin"),
    "PGD L1": _budget(PGD, "L1", steps=10, loss="margin"),
    "APGD Linf": _budget(APGD, steps=8),
    "APGD L2": _budget(APGD, "L2", steps=8, loss="dlr"),
    "APGD L1": _budget(APGD, "L1", steps=30, restarts=3, loss="margin"),
    "APGD log odds": _budget(APGD, steps=8, loss="log_odds"),
    "FAB Linf": _fab("Linf"),
    "FAB L2": _fab("L2"),
    "MinimalFAB Linf": _minimal_fab("Linf"),
    "MinimalFAB L2": _minimal_fab("L2"),
    "AutoAttack Linf": _auto("Linf"),
    "AutoAttack L2": _auto("L2"),
    "Strong Linf": _strong("Linf"),
    "Strong L2": _strong("L2"),
    "Strong without dropping": _strong("Linf", patience=None),
    "DeepFool L2": _minimal(DeepFool, steps=10),
    "DeepFool Linf": _minimal(DeepFool, "Linf", steps=10),
    "CarliniWagner": _minimal(CarliniWagner, search_steps=4, steps=5),
    "DDN": _minimal(DDN, steps=15),
    "FMN Linf": _minimal(FMN, "Linf", steps=12),
    "FMN L2": _minimal(FMN, steps=12),
    "FMN L1": _minimal(FMN, "L1", steps=12),
    "FMN L0": _minimal(FMN, "L0", steps=12),
    "PDPGD L1": _minimal(PDPGD, "L1", steps=30),
    "PDPGD L2": _minimal(PDPGD, steps=30),
    "SigmaZero": _minimal(SigmaZero, "L0", steps=20),
    "LBFGS": _minimal(LBFGS, c=0.3, search_steps=3, steps=8),
    # It keeps the changes that did not suffice.
    "JSMA": _minimal(JSMA, "L0", gamma=1.0, honest=False),
    "JSMA one pixel": _minimal(JSMA, "L0", gamma=1.0, pixels=1, honest=False),
    "JSMA scores": _minimal(JSMA, "L0", gamma=1.0, outputs="scores", honest=False, enough=None),
    "SinglePixel": _query(SinglePixel, "L0", enough=None),
    "Pointwise": _query(Pointwise, "L0", enough=None, repetitions=2, levels=10),
    "AdditiveUniformNoise": _query(AdditiveUniformNoise, enough=None, levels=10),
    "AdditiveGaussianNoise": _query(AdditiveGaussianNoise, enough=None, levels=10),
    "Boundary": _query(BoundaryAttack, iterations=8, directions=5, starts=10, blend_levels=10),
    "HopSkipJump L2": _query(HopSkipJump, iterations=2, initial_evaluations=20, starts=10),
    "HopSkipJump Linf": _query(
        HopSkipJump, "Linf", iterations=2, initial_evaluations=20, starts=10
    ),
    "Square Linf": _square("Linf"),
    "Square L2": _square("L2"),
}

FIRST_OF_CLASS = list({short.attack: name for name, short in reversed(EVERY.items())}.values())
"""The first of each class."""
_FIRST = {(short.attack, short.norm): name for name, short in reversed(EVERY.items())}.values()


def _slow_but(default):
    return [pytest.param(n, marks=[] if n in default else [pytest.mark.slow]) for n in EVERY]


NAMES = _slow_but(_FIRST)
"""For `pytest.mark.parametrize`: the default run takes the first of each class and norm."""
NAMES_OF_CLASSES = _slow_but(FIRST_OF_CLASS)
"""For properties that have nothing to do with distances: the first of each class."""
