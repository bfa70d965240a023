"""Attacks that torchattacks lacks, the views they go through, and the one place where they run."""

from robust.attacks.apgd import APGD
from robust.attacks.auto_attack import AutoAttack
from robust.attacks.base import Draws, OwnAttack, sample_seeds
from robust.attacks.bim import BIM, IFGSM, MIFGSM, TargetedBIM
from robust.attacks.boundary import BoundaryAttack
from robust.attacks.carlini_wagner import CarliniWagner, HasCodebook
from robust.attacks.craft import Crafted, craft, gradient_of, isolated
from robust.attacks.ddn import DDN
from robust.attacks.deepfool import DeepFool
from robust.attacks.fab import FAB
from robust.attacks.fgsm import FGSM, TGSM, MinimalFGSM, RandomFGSM
from robust.attacks.hop_skip_jump import HopSkipJump
from robust.attacks.jsma import JSMA
from robust.attacks.lbfgs import LBFGS
from robust.attacks.noise import AdditiveGaussianNoise, AdditiveUniformNoise, SinglePixel
from robust.attacks.pgd import PGD
from robust.attacks.pointwise import Pointwise
from robust.attacks.released import ReleasedCarliniWagner, ReleasedFGSM
from robust.attacks.square import Square
from robust.attacks.views import BPDA, EOT, HasObjective, Rescale

__all__ = [
    "APGD",
    "BIM",
    "BPDA",
    "DDN",
    "EOT",
    "FAB",
    "FGSM",
    "IFGSM",
    "JSMA",
    "LBFGS",
    "MIFGSM",
    "PGD",
    "TGSM",
    "AdditiveGaussianNoise",
    "AdditiveUniformNoise",
    "AutoAttack",
    "BoundaryAttack",
    "CarliniWagner",
    "Crafted",
    "DeepFool",
    "Draws",
    "HasCodebook",
    "HasObjective",
    "HopSkipJump",
    "MinimalFGSM",
    "OwnAttack",
    "Pointwise",
    "RandomFGSM",
    "ReleasedCarliniWagner",
    "ReleasedFGSM",
    "Rescale",
    "SinglePixel",
    "Square",
    "TargetedBIM",
    "craft",
    "gradient_of",
    "isolated",
    "sample_seeds",
]
