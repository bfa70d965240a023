"""Words that records, tables and pages speak as well: no tensors, so that a page needs no torch."""

import math
from typing import Literal

Norm = Literal["Linf", "L2", "L0"]
View = Literal["deployed", "published", "adaptive"]
"""What an attacker differentiates: the deployed scores, what the paper's attacker saw, or the way
around the defense."""
Split = Literal["test", "train"]
"""``test``: the test set, from its first image on. ``train``: all training images, also those held
out for validation, in an order drawn from a seed."""
DATA_SETS = ("mnist", "fashion_mnist", "cifar10", "digits", "circles", "moons")
"""Names of image sets, each an entry of `robust.data.datasets.DATASETS`."""

# Clamping to x +- eps rounds to the nearest float32 (6e-8 near 1), an L2 projection relatively.
_SLACK = 1e-6


def limit_of(eps: float) -> float:
    """The largest distance that counts as within ``eps``: float32's rounding is forgiven."""
    return eps * (1 + _SLACK) + _SLACK


def budget(norm: Norm, eps: float) -> str:
    """A threat model in a word or two, such as ``Linf 0.1``."""
    return f"{norm} {'unbounded' if math.isinf(eps) else format(eps, '.4g')}"
