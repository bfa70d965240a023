"""Attacks that torchattacks lacks, the views they go through, and the one place where they run."""

from robust.attacks.apgd import APGD
from robust.attacks.base import Draws, OwnAttack, sample_seeds
from robust.attacks.bim import BIM, IFGSM, MIFGSM, TargetedBIM
from robust.attacks.craft import Crafted, craft, isolated
from robust.attacks.fgsm import FGSM, TGSM, MinimalFGSM, RandomFGSM
from robust.attacks.pgd import PGD
from robust.attacks.views import BPDA, EOT, HasObjective, Rescale

__all__ = [
    "APGD",
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
