"""Train adversarial defenses, attack them, and tell the truth about the result.

Names are imported once they are asked for, so that ``import robust`` takes no time and no torch.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robust import attacks as attacks
    from robust.api import (
        MLP,
        WNLL,
        AdversarialTraining,
        AttackEvaluation,
        BReLU,
        Cell,
        Codewords,
        ConfigError,
        Defense,
        DenseNet,
        Distillation,
        ImageDataModule,
        LabelSmoothing,
        LoadedRun,
        Normalize,
        Pretrained,
        Recall,
        ResNet,
        Result,
        Squeezed,
        Standard,
        Suite,
        ThreatModel,
        Trades,
        TunaCifarCNN,
        TunaMnistCNN,
        VirtualAdversarial,
        ZantedeschiCifarCNN,
        ZantedeschiCNN,
        ZantedeschiResNet,
        attack,
        evaluate,
        fit,
        load,
    )

    __version__: str

__all__ = [
    "MLP",
    "WNLL",
    "AdversarialTraining",
    "AttackEvaluation",
    "BReLU",
    "Cell",
    "Codewords",
    "ConfigError",
    "Defense",
    "DenseNet",
    "Distillation",
    "ImageDataModule",
    "LabelSmoothing",
    "LoadedRun",
    "Normalize",
    "Pretrained",
    "Recall",
    "ResNet",
    "Result",
    "Squeezed",
    "Standard",
    "Suite",
    "ThreatModel",
    "Trades",
    "TunaCifarCNN",
    "TunaMnistCNN",
    "VirtualAdversarial",
    "ZantedeschiCNN",
    "ZantedeschiCifarCNN",
    "ZantedeschiResNet",
    "__version__",
    "attack",
    "attacks",
    "evaluate",
    "fit",
    "load",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Return a name of `__all__`, whose module is imported now."""
    if name not in __all__ or _asked_by_parser():
        # The interpreter says what was perhaps meant.
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}",
            name=name,
            obj=sys.modules[__name__],
        )
    if name == "attacks":
        return importlib.import_module("robust.attacks")
    if name == "ConfigError":  # what is refused before torch is imported needs no torch
        return importlib.import_module("robust.errors").ConfigError
    if name == "__version__":
        return importlib.import_module("robust.io.version").package_version()
    return getattr(importlib.import_module("robust.api"), name)


def _asked_by_parser() -> bool:
    """Return whether jsonargparse looks for the shortest path of a class.

    Configs and checkpoints name a class where it is at home, such as ``robust.networks.MLP``.
    """
    asking = sys._getframe(2).f_globals.get("__name__", "")
    return str(asking).startswith("jsonargparse.")


def __dir__() -> list[str]:
    """Return the names of the face beside those of this module."""
    return sorted({*globals(), *__all__})
