"""This package has attacks that torchattacks lacks, views for them, and `craft`, which runs them.

Examples:
    >>> attack = robust.attacks.PGD(robust.MLP(), eps=0.1, steps=2)
    >>> attack(torch.rand(2, 1, 28, 28), torch.tensor([0, 1])).shape
    torch.Size([2, 1, 28, 28])
"""

from robust.attacks.auto_attack import AutoAttack
from robust.attacks.base import Attack, RandomStreams, sample_seeds
from robust.attacks.craft import Crafted, craft, gradient_of, isolated
from robust.attacks.gradient.apgd import APGD
from robust.attacks.gradient.bim import BIM, IFGSM, MIFGSM, TargetedBIM
from robust.attacks.gradient.fgsm import FGSM, TGSM, MinimalFGSM, RandomFGSM
from robust.attacks.gradient.jsma import JSMA
from robust.attacks.gradient.pgd import PGD
from robust.attacks.minimal.carlini_wagner import CarliniWagner, HasCodebook
from robust.attacks.minimal.ddn import DDN
from robust.attacks.minimal.deepfool import DeepFool
from robust.attacks.minimal.fab import FAB, MinimalFAB
from robust.attacks.minimal.fmn import FMN
from robust.attacks.minimal.lbfgs import LBFGS
from robust.attacks.minimal.pdpgd import PDPGD
from robust.attacks.minimal.sigma_zero import SigmaZero
from robust.attacks.query.boundary import BoundaryAttack
from robust.attacks.query.hop_skip_jump import HopSkipJump
from robust.attacks.query.noise import AdditiveGaussianNoise, AdditiveUniformNoise, SinglePixel
from robust.attacks.query.pointwise import Pointwise
from robust.attacks.query.square import Square
from robust.attacks.strong import Strong
from robust.attacks.views import BPDA, EOT, HasObjective, Rescale, SoftSteps, straight_through
from robust.attacks.wang2018_released import ReleasedCarliniWagner, ReleasedFGSM

__all__ = [
    "APGD",
    "BIM",
    "BPDA",
    "DDN",
    "EOT",
    "FAB",
    "FGSM",
    "FMN",
    "IFGSM",
    "JSMA",
    "LBFGS",
    "MIFGSM",
    "PDPGD",
    "PGD",
    "TGSM",
    "AdditiveGaussianNoise",
    "AdditiveUniformNoise",
    "Attack",
    "AutoAttack",
    "BoundaryAttack",
    "CarliniWagner",
    "Crafted",
    "DeepFool",
    "HasCodebook",
    "HasObjective",
    "HopSkipJump",
    "MinimalFAB",
    "MinimalFGSM",
    "Pointwise",
    "RandomFGSM",
    "RandomStreams",
    "ReleasedCarliniWagner",
    "ReleasedFGSM",
    "Rescale",
    "SigmaZero",
    "SinglePixel",
    "SoftSteps",
    "Square",
    "Strong",
    "TargetedBIM",
    "craft",
    "gradient_of",
    "isolated",
    "sample_seeds",
    "straight_through",
]
