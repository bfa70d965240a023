"""Attacks that torchattacks lacks, the views they go through, and the one place where they run."""

from robust.attacks.base import Draws, OwnAttack, sample_seeds
from robust.attacks.craft import Crafted, craft, isolated
from robust.attacks.gradient import (
    BIM,
    FGSM,
    IFGSM,
    MIFGSM,
    PGD,
    TGSM,
    MinimalFGSM,
    RandomFGSM,
    TargetedBIM,
)
from robust.attacks.views import BPDA, EOT, HasObjective, Rescale

__all__ = [
    "BIM",
    "BPDA",
    "EOT",
    "FGSM",
    "IFGSM",
    "MIFGSM",
    "PGD",
    "TGSM",
    "Crafted",
    "Draws",
    "HasObjective",
    "MinimalFGSM",
    "OwnAttack",
    "RandomFGSM",
    "Rescale",
    "TargetedBIM",
    "craft",
    "isolated",
    "sample_seeds",
]
