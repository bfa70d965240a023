"""Defenses: how a net is trained, deployed, and properly attacked; one paper a file."""

from robust.defenses.adversarial_training import AdversarialTraining
from robust.defenses.base import Defense
from robust.defenses.codewords import Codewords
from robust.defenses.distillation import Distillation
from robust.defenses.label_smoothing import LabelSmoothing
from robust.defenses.squeezed import Squeezed
from robust.defenses.standard import Standard
from robust.defenses.trades import Trades
from robust.defenses.virtual_adversarial import VirtualAdversarial, VirtualAdversarialImages

__all__ = [
    "AdversarialTraining",
    "Codewords",
    "Defense",
    "Distillation",
    "LabelSmoothing",
    "Squeezed",
    "Standard",
    "Trades",
    "VirtualAdversarial",
    "VirtualAdversarialImages",
]
