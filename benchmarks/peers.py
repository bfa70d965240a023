"""The peers' attacks have one signature here, each with its best settings.

A library that is not installed has no attacks: ``uv pip install -e .[bench]``. fra31's
``autoattack`` is on no package index, and is used if it can be imported.
"""

import importlib
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
import torchattacks
from torch import Tensor, nn

from robust.attacks import craft

Run = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""A function from a network, images and labels to adversarial images."""


def library(name: str) -> Any:  # noqa: ANN401
    """A library that may be absent; adversarial-library imports a plot server for one logger."""
    visdom = types.ModuleType("visdom")
    visdom.__dict__["Visdom"] = object
    sys.modules.setdefault("visdom", visdom)
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def crafted(attack: Callable[[nn.Module], torchattacks.attack.Attack]) -> Run:
    """An attack of ours or of torchattacks."""
    return lambda network, x, y: craft(attack, network, x, y).x_adv


def adv_lib(name: str, **arguments: Any) -> dict[str, Run]:  # noqa: ANN401
    """A function of adversarial-library."""
    if (lib := library("adv_lib.attacks")) is None:
        return {}
    function = getattr(lib, name)
    return {"adv-lib": lambda network, x, y: function(network, x, y, **arguments)}


def foolbox(name: str, eps: float | None = None, **arguments: Any) -> dict[str, Run]:  # noqa: ANN401
    """An attack of foolbox; without ``eps`` it looks for the nearest image."""
    if (lib := library("foolbox")) is None:
        return {}

    def run(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        model = lib.PyTorchModel(network, bounds=(0, 1), device="cpu")
        torch.manual_seed(0)
        found: Tensor = getattr(lib.attacks, name)(**arguments)(model, x, y, epsilons=eps)[1]
        return found

    return {"foolbox": run}


def art_jsma(theta: float, gamma: float) -> dict[str, Run]:
    """ART's saliency map attack on the next class, which wants probabilities."""
    if (evasion := library("art.attacks.evasion")) is None:
        return {}
    estimators = importlib.import_module("art.estimators.classification")

    def run(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        classifier = estimators.PyTorchClassifier(
            nn.Sequential(network, nn.Softmax(dim=1)),
            nn.CrossEntropyLoss(),
            x.shape[1:],
            10,
            clip_values=(0, 1),
            device_type="cpu",
        )
        attack = evasion.SaliencyMapMethod(
            classifier, theta, gamma, batch_size=len(x), verbose=False
        )
        goals = nn.functional.one_hot((y + 1) % 10, 10)
        return torch.from_numpy(attack.generate(x.numpy(), goals.numpy()))

    return {"ART": run}


def auto_attack(eps: float) -> dict[str, Run]:
    """The standard version: by its authors, and of torchattacks' parts at the authors' lengths."""
    runs: dict[str, Run] = {"torchattacks": lambda network, x, y: _parts(network, eps)(x, y)}
    if (lib := library("autoattack")) is not None:

        def run(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            attack = lib.AutoAttack(network, "Linf", eps, seed=0, verbose=False, device="cpu")
            found: Tensor = attack.run_standard_evaluation(x, y, bs=len(x))
            return found

        runs["autoattack"] = run
    return runs


def _parts(network: nn.Module, eps: float) -> torchattacks.MultiAttack:
    return torchattacks.MultiAttack(
        [
            torchattacks.APGD(network, eps=eps, steps=100, loss="ce"),
            torchattacks.APGDT(network, eps=eps, steps=100, n_classes=10),
            torchattacks.FAB(network, eps=eps, steps=100, multi_targeted=True, n_classes=10),
            torchattacks.Square(network, eps=eps, n_queries=5000),
        ]
    )
