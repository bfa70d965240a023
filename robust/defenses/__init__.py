"""A defense says how a network is trained, deployed and properly attacked; one paper a file."""

from collections.abc import Mapping
from typing import Any

from robust.defenses.adversarial_training import AdversarialTraining
from robust.defenses.base import Defense
from robust.defenses.codewords import Codewords
from robust.defenses.distillation import Distillation
from robust.defenses.label_smoothing import LabelSmoothing
from robust.defenses.pretrained import Pretrained
from robust.defenses.recall import Recall
from robust.defenses.squeezed import Squeezed
from robust.defenses.standard import Standard
from robust.defenses.trades import Trades
from robust.defenses.virtual_adversarial import VirtualAdversarial, VirtualAdversarialImages
from robust.defenses.wnll.defense import WNLL
from robust.defenses.wnll.schedule import WangSchedule
from robust.errors import ConfigError
from robust.io.call_arguments import checked_constructor
from robust.networks.arguments import remember_arguments

__all__ = [
    "WNLL",
    "AdversarialTraining",
    "Codewords",
    "Defense",
    "Distillation",
    "LabelSmoothing",
    "Pretrained",
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
    Pretrained,
    Recall,
    Squeezed,
    Standard,
    Trades,
    VirtualAdversarial,
)


def _check_network(arguments: Mapping[str, Any]) -> None:
    """Raise if a defense is to be built around another one.

    Raises:
        ConfigError: With what to give instead.
    """
    network = arguments.get("network")
    if isinstance(network, Defense):
        raise ConfigError(
            f"Expected a network as `network`, but got a {type(network).__name__}, which is a "
            "defense. Give its network alone."
        )


checked_constructor(Defense, _check_network)
