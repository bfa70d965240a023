"""What scores and gradients show of a masked gradient: exact ties, exact zeros, no numbers."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor, nn

from robust.attacks import isolated
from robust.types import Images, Labels


@torch.no_grad()
def has_tie(scores: Tensor) -> Bool[Tensor, " n"]:
    """Whether the two largest scores of each sample are exactly equal."""
    best = scores.topk(2, dim=1).values
    return best[:, 0] == best[:, 1]


def has_zero_gradient(view: nn.Module, x: Images, y: Labels) -> Bool[Tensor, " n"]:
    """Whether the cross-entropy of the view has no gradient to climb at each image.

    One that is exactly zero, or that is not a number somewhere, at which attacks stand still too.
    """
    with isolated(view, x.device, seed=0):
        x, y = x.detach().clone().requires_grad_(), y.detach().clone()
        (gradient,) = torch.autograd.grad(F.cross_entropy(view(x), y, reduction="sum"), x)
        gradient = gradient.flatten(1)
        return gradient.eq(0).all(dim=1) | ~gradient.isfinite().all(dim=1)
