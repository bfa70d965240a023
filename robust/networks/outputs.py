"""What a network's outputs are, found by looking at some of them: logits or probabilities."""

import torch
from torch import Tensor

from robust.vocabulary import Outputs

_ROUNDING = 1e-3
"""How far probabilities of an image may be from one in sum: half precision rounds to about that."""


def outputs_of(scores: Tensor) -> Outputs:
    """Return what scores of shape (N, K) must be, which is ``logits`` if nothing shows otherwise.

    Args:
        scores: Of several images, so that no coincidence decides.
    """
    exact = scores.detach().double()
    if not exact.isfinite().all():
        return "log_probabilities" if _sums_to_one(exact.exp()) else "logits"
    if (exact >= 0).all() and _sums_to_one(exact):
        return "probabilities"
    # The logarithm of a one is a little above zero on some CPUs.
    if (exact <= _ROUNDING).all() and _sums_to_one(exact.exp()):
        return "log_probabilities"
    return "logits"


def _sums_to_one(values: Tensor) -> bool:
    ones = torch.ones_like(values[:, 0])
    return bool(values.isfinite().all()) and torch.allclose(values.sum(dim=1), ones, atol=_ROUNDING)
