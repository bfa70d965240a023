"""The loss of a view is computed on a plane through one image."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from robust.attacks import isolated
from robust.errors import ConfigError
from robust.types import Images, Scores

Image = Float[Tensor, "1 c h w"]
Label = Int64[Tensor, "1"]

_CHUNK = 256


class Surface(NamedTuple):
    """Cross-entropy on the plane ``x + a * g + b * r`` through an image."""

    a: Float[Tensor, " p"]
    """Steps along g, the sign of the gradient, in pixel units."""
    b: Float[Tensor, " p"]
    """Steps along r, a random sign direction, in pixel units."""
    loss: Float[Tensor, "p p"]
    """``loss[i, j]`` belongs to ``a[i]`` and ``b[j]``."""
    zero_gradient: bool
    """Whether the gradient at the image is exactly zero, so that g is random as well."""


def loss_surface(
    view: nn.Module,
    x: Image,
    y: Label,
    target: int | None,
    eps: float,
    points: int = 41,
    seed: int = 0,
) -> Surface:
    """Return the loss of a view around one image, along its own gradient and across it.

    The first axis is the step of FGSM; an untargeted attack climbs along it, a targeted one
    descends. The second is a random sign for every value, nearly orthogonal to the first in
    thousands of dimensions. Pixels are clipped to [0, 1], as an attack clips them. In Linf the axes
    are within ``eps`` of the image, and the corners within twice that. The view stays as it was
    (see `robust.attacks.isolated`).

    Args:
        view: Module from pixels to class scores.
        x: The image, in [0, 1].
        y: Its label, the class of the untargeted loss.
        target: Class of the targeted loss; None for the untargeted one.
        eps: Half the side of the plane, positive, in pixel units.
        points: Steps along each axis; the image itself is among them if it is odd.
        seed: Seed of the random direction, and of the view if it is randomized.

    Raises:
        ConfigError: If ``eps`` or ``points`` is out of range, or the loss or its gradient is NaN or
            infinite.
    """
    if not eps > 0:
        raise ConfigError(f"Expected `eps` to be positive, but got {eps}. Give it in pixel units.")
    if points < 2:
        raise ConfigError(
            f"Expected `points` to be at least 2, but got {points}. "
            "With an odd number the image is one of them."
        )
    with isolated(view, x.device, seed), torch.autocast(x.device.type, enabled=False):
        x = x.detach().clone()
        goal = y.detach().clone() if target is None else torch.full_like(y, target)
        gradient = _loss_gradient(view, x, goal)
        r, instead = _random_signs(x), _random_signs(x)
        zero_gradient = not gradient.any()
        g = instead if zero_gradient else gradient.sign()
        steps = torch.linspace(-eps, eps, points, dtype=x.dtype, device=x.device)
        plane = x + steps.view(-1, 1, 1, 1, 1) * g + steps.view(1, -1, 1, 1, 1) * r
        scores = _scores(view, plane.flatten(0, 1).clamp(0, 1))
        loss = F.cross_entropy(scores, goal.expand(len(scores)), reduction="none")
    if not (gradient.isfinite().all() and loss.isfinite().all()):
        raise ConfigError(
            "Expected a finite loss around the image, but got NaN or infinity from "
            f"{type(view).__name__}. Train again with a lower learning rate."
        )
    steps = steps.cpu()
    return Surface(steps, steps, loss.view(points, points).cpu(), zero_gradient)


def _loss_gradient(view: nn.Module, x: Image, goal: Label) -> Image:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(view(x), goal), x)
    return gradient


def _random_signs(x: Image) -> Image:
    # Sampled on the CPU: the same direction on every device.
    return (2 * torch.randint(2, x.shape) - 1).to(x)


@torch.no_grad()
def _scores(view: nn.Module, x: Images) -> Scores:
    return torch.cat([view(chunk) for chunk in torch.split(x, _CHUNK)])
