"""Defenses: how a net is trained, deployed, and properly attacked; one paper a file."""

from robust.defenses.adversarial_training import AdversarialTraining
from robust.defenses.base import Defense
from robust.defenses.codewords import Codewords
from robust.defenses.distillation import Distillation
from robust.defenses.label_smoothing import LabelSmoothing
from robust.defenses.recall import Recall
from robust.defenses.squeezed import Squeezed
from robust.defenses.standard import Standard
from robust.defenses.trades import Trades
from robust.defenses.virtual_adversarial import VirtualAdversarial, VirtualAdversarialImages
from robust.defenses.wnll.defense import WNLL
from robust.defenses.wnll.schedule import WangSchedule
from robust.networks.arguments import remember_arguments

__all__ = [
    "WNLL",
    "AdversarialTraining",
    "Codewords",
    "Defense",
    "Distillation",
    "LabelSmoothing",
    "Recall",
    "Squeezed",
    "Standard",
    "Trades",
    "VirtualAdversarial",
    "VirtualAdversarialImages",
    "WangSchedule",
]

remember_arguments(
    WNLL,
    AdversarialTraining,
    Codewords,
    Distillation,
    LabelSmoothing,
    Recall,
    Squeezed,
    Standard,
    Trades,
    VirtualAdversarial,
)
