"""Slopes that stand in for those of functions with steps, or of functions that become flat."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from robust.attacks.views import soft_slope, with_gradient_of


class Recipe(NamedTuple):
    """A recipe says which slopes a view takes for those of the network's own functions."""

    steps: Literal["straight", "soft"] = "straight"
    """Of steps: one everywhere, or that of soft steps."""
    flat: Literal["own", "straight", "soft"] = "own"
    """Of functions that become flat: their own, one everywhere, or that of a wider function."""


def step(recipe: Recipe, exact: Tensor, z: Tensor) -> Tensor:
    """Return zeros and ones with a gradient: ``exact``, which is true where ``z`` is positive."""
    z = z.broadcast_to(exact.shape)
    if recipe.steps == "soft":
        z = z * soft_slope(z.detach() / (2 * _size(z.detach())))
    return with_gradient_of(exact.to(z.dtype), z)


def rounded(recipe: Recipe, exact: Tensor, x: Tensor, *, halfway: bool) -> Tensor:
    """Return rounded numbers with a gradient.

    Args:
        recipe: Which gradient.
        exact: The rounded numbers.
        x: What was rounded.
        halfway: Whether the steps are halfway between integers, or at the integers.
    """
    if recipe.steps == "soft":
        numbers = x.detach()
        way = numbers - numbers.floor() - 0.5 if halfway else numbers - numbers.round()
        share = 1 / (numbers.amax() - numbers.amin()).clamp_min(1) if numbers.numel() else 1.0
        x = x * (1 - share + share * soft_slope(way))
    return with_gradient_of(exact, x)


def widened(
    function: Callable[[Tensor], Tensor], exact: Tensor, z: Tensor, dim: int | None = None
) -> Tensor:
    """Return ``exact`` with the gradient of the function as if ``z`` were as small as it takes.

    Args:
        function: A function that becomes flat far from zero, or where one value leads.
        exact: What it makes of ``z``.
        z: Its argument.
        dim: Along which one value leads; None if each stands for itself.
    """
    if dim is None:
        scale = _largest(z.detach()) / _REACH
    else:
        z = z - z.detach().amax(dim=dim, keepdim=True)
        scale = z.detach().abs().amax(dim=dim, keepdim=True) / _SPREAD
    return with_gradient_of(exact, function(z / scale.clamp_min(1)))


_REACH = 2.0
"""Up to here a sigmoid or tanh has a slope."""
_SPREAD = 10.0
"""Up to here a softmax has one in float32."""


def _size(z: Tensor) -> Tensor:
    """Return the mean size of the values of each sample."""
    return _of_samples(z, lambda values: values.abs().mean(dim=1))


def _largest(z: Tensor) -> Tensor:
    return _of_samples(z, lambda values: values.abs().amax(dim=1))


def _of_samples(z: Tensor, measure: Callable[[Tensor], Tensor]) -> Tensor:
    rows = z.reshape(len(z), -1) if z.ndim else z.view(1, 1)
    smallest = torch.finfo(z.dtype).tiny
    sizes = measure(rows).nan_to_num(smallest, smallest, smallest).clamp_min(smallest)
    return sizes.view(-1, *[1] * (z.ndim - 1)) if z.ndim else sizes.view(())
