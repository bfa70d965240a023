"""What scores and gradients show of a masked gradient: exact ties, exact zeros, no numbers."""

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from robust.attacks import gradient_of, isolated
from robust.attacks.views import Several
from robust.types import Images, Labels

_ROUNDING = 1e-4
"""Of the largest score: far above what a GPU rounds in another order from call to call."""


@torch.no_grad()
def differs_by_call(model: nn.Module, x: Images) -> bool:
    """Whether two calls on the same images give other scores, in eval mode.

    Each call is made at another random state, which is put back.
    """
    calls = []
    for seed in (0, 1):
        with isolated(model, x.device, seed):
            calls.append(model(x.detach().clone()))
    one, other = calls
    finite = one[one.isfinite()].abs()
    most = _ROUNDING * float(finite.max()) if finite.numel() else 0.0
    # Of scores that are infinite, or no numbers, the difference is no number.
    return not torch.allclose(one, other, rtol=0, atol=most, equal_nan=True)


@torch.no_grad()
def has_tie(scores: Tensor) -> Bool[Tensor, " n"]:
    """Whether the two largest scores of each sample are exactly equal."""
    best = scores.topk(2, dim=1).values
    return best[:, 0] == best[:, 1]


def has_zero_gradient(view: nn.Module, x: Images, y: Labels) -> Bool[Tensor, " n"]:
    """Whether the cross-entropy of the view has no gradient to climb at each image.

    One that is exactly zero, or that is not finite somewhere.
    """
    zero, not_finite = gradient_signs(view, x, y)
    return zero | not_finite


def gradient_signs(
    view: nn.Module, x: Images, y: Labels
) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n"]]:
    """Whether the gradient of the view's cross-entropy is exactly zero, and whether not finite.

    Of several views, whether that is so of each.
    """
    if isinstance(view, Several):
        zero, not_finite = zip(*(gradient_signs(each, x, y) for each in view.each()), strict=True)
        return torch.stack(zero).all(dim=0), torch.stack(not_finite).all(dim=0)
    with isolated(view, x.device, seed=0):
        gradient = gradient_of(view, x, y.detach().clone()).flatten(1)
        return gradient.eq(0).all(dim=1), ~gradient.isfinite().all(dim=1)
