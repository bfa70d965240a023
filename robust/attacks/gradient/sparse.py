"""In L1 a step changes few values: the steepest ascent in L1 would change one alone."""

import torch
from jaxtyping import Float
from torch import Tensor

from robust.random_streams import RandomStreams
from robust.types import Images

SHARE = 0.01
"""The share of the values that a step of PGD changes: ``q`` is 99 % in the authors' code."""


def sparse_direction(slopes: Images, share: Float[Tensor, " n"] | float) -> Images:
    """Return the signs of the largest slopes, of length 1 in L1; zero where all slopes are.

    Args:
        slopes: Of the loss of each image.
        share: Of the values that change, at least one of them; for all images or for each.
    """
    flat = slopes.flatten(1)
    n, values = flat.shape
    kept = torch.as_tensor(share, device=flat.device).expand(n)
    rank = ((1 - kept) * values).clamp(0, values - 1).long()
    least = flat.abs().sort(dim=1).values.gather(1, rank.view(-1, 1))
    signs = flat.sign() * (flat.abs() >= least)
    return (signs / signs.abs().sum(dim=1, keepdim=True).clamp_min(1)).view_as(slopes)


def slide(gradient: Images, x_adv: Images) -> Images:
    """Return the step of Tramer and Boneh 2019, of length 1: https://arxiv.org/abs/1904.13000.

    Values that are at the edge of [0, 1] already and would leave it do not count, as with
    ``clip_grad`` of the authors' code.
    """
    stuck = ((x_adv >= 1) & (gradient > 0)) | ((x_adv <= 0) & (gradient < 0))
    return sparse_direction(torch.where(stuck, 0, gradient), SHARE)


def l1_noise(streams: RandomStreams, like: Images) -> Images:
    """Return points that are uniform in the L1 ball of radius 1, as many as there are streams."""
    shape = like.shape[1:]
    size = -torch.log1p(-streams.uniform(*shape))
    # Exponential numbers by their sum are uniform on the simplex (Devroye 1986, chapter 5).
    on_simplex = size / size.sum(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    radius = streams.uniform(1, 1, 1).pow(1 / shape.numel())
    return (streams.sign(*shape) * on_simplex * radius).to(like.dtype)
