"""Records, tables and pages use these words, too; without tensors, a page needs no torch."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from robust.errors import ConfigError

Norm = Literal["Linf", "L2", "L1", "L0"]
View = Literal["deployed", "published", "adaptive"]
"""A view is what an attacker differentiates: the deployed scores, what the paper's attacker saw, or
the way around the defense."""
Split = Literal["test", "train"]
"""``test`` is the test set, from its first image on. ``train`` is all training images, also those
for validation, in a random order of a seed."""
EvidenceLevel = Literal["quick", "full"]
"""How much is tried to see whether the attacks of a suite would have found what is there."""
AskedEvidence = Literal["quick", "full", "none"]
"""What a command is asked for."""
Outputs = Literal["logits", "log_probabilities", "probabilities"]
"""This is what a network that was trained elsewhere returns for each class."""
Channels = Literal["rgb", "bgr"]
"""Such a network takes the channels of an image in this order."""
DATA_SETS = (
    *("mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "digits", "circles", "moons"),
)
"""These are the names of image sets, each an entry of `robust.data.datasets.DATASETS`."""
DATA_SOURCES = ("imagefolder", "csv", "npz", "hf")
"""These are kinds of images that a user has, written as ``kind:PATH``."""

# Clamping to x +- eps rounds to the nearest float32 (6e-8 near 1), an L2 projection relatively.
_SLACK = 1e-6


def limit_of(eps: float) -> float:
    """Return the largest distance that counts as within ``eps``, with float32's rounding."""
    return eps * (1 + _SLACK) + _SLACK


def budget(norm: Norm, eps: float, area: str = "") -> str:
    """Return a threat model in a few words, such as ``Linf 0.1`` or ``L2 1 in a patch of 5x5``."""
    radius = "unbounded" if math.isinf(eps) else format(eps, ".4g")
    return f"{norm} {radius} {area}".rstrip()


EpsOn = Mapping[Norm, Mapping[str, float]]
"""Radii by norm and name of a data set."""
Usual = Literal["usual"]
"""Suites write it for an eps that is the usual one of the data set."""
OTHER = "other"
"""A suite writes it for data sets that it does not name."""

_GREY = ("digits", "mnist", "fashion_mnist")
_COLOR = ("cifar10", "cifar100", "svhn")
USUAL_EPS: EpsOn = MappingProxyType(
    {
        "Linf": {
            **{"digits": 0.2, "mnist": 0.3, "fashion_mnist": 0.1},
            **dict.fromkeys(_COLOR, 8 / 255),
        },
        "L2": {**dict.fromkeys(_GREY, 1.5), **dict.fromkeys(_COLOR, 0.5)},
        "L1": {**dict.fromkeys(_GREY, 10.0), **dict.fromkeys(_COLOR, 12.0)},
    }
)
"""MNIST, Fashion-MNIST and colour images: Madry et al. 2018; Wong and Kolter 2018; RobustBench.
Those of L1: Maini et al. 2020, https://arxiv.org/abs/1909.04068."""


def eps_on(norm: Norm, data: str, own: EpsOn) -> float | None:
    """Return the eps of a suite on a data set; None if somebody has to say it.

    Args:
        norm: The norm of its threat model.
        data: Name of the data set.
        own: Where the suite differs from `USUAL_EPS`.
    """
    given, usual = own.get(norm, {}), USUAL_EPS.get(norm, {})
    return given.get(data, usual.get(data, given.get(OTHER)))


def no_usual_eps(suite: str, norm: str, data: str) -> ConfigError:
    """Return the error of a suite that needs an eps, on a data set that has no usual one."""
    return ConfigError(
        f"Expected an eps for suite {suite} on {data[:_SHOWN]}, but no {norm} radius is usual "
        "there. Give one, such as `--eps 8/255` to evaluate or `eps=8/255` in Python."
    )


_SHOWN = 60

SWEPT_KEYS = "ROBUST_SWEEP_KEYS"
"""Variable with the dotted keys that a sweep without a server varies, as a list in JSON."""
