"""Records, tables and pages use these words, too; without tensors, a page needs no torch."""

import math
from typing import Literal

Norm = Literal["Linf", "L2", "L0"]
View = Literal["deployed", "published", "adaptive"]
"""A view is what an attacker differentiates: the deployed scores, what the paper's attacker saw, or
the way around the defense."""
Split = Literal["test", "train"]
"""``test`` is the test set, from its first image on. ``train`` is all training images, also those
for validation, in a random order of a seed."""
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


def budget(norm: Norm, eps: float) -> str:
    """Return a threat model in a word or two, such as ``Linf 0.1``."""
    return f"{norm} {'unbounded' if math.isinf(eps) else format(eps, '.4g')}"
