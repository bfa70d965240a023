"""FMN, the fast minimum-norm attack: Pintor et al. 2021, https://arxiv.org/abs/2102.12827."""

import math
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robust.attacks.base import Attack, check_choice
from robust.attacks.judging import confirmed, is_adversarial, normalized, signed_margin
from robust.errors import ConfigError
from robust.threat import distance, onto_l1_ball
from robust.types import Images, Labels, Norm, Scores

_DUAL = {"Linf": 1.0, "L2": 2.0, "L1": math.inf}
_LAST_STEP = 0.01
"""The last step, relative to the first one."""
_LAST_GAMMA = 0.001


@final
class FMN(Attack):
    r"""FMN finds a near adversarial image in any norm, with a radius that follows the boundary.

    Algorithm 1 of the paper. Every step moves the image along the direction of the gradient, and
    projects it onto the ball of radius :math:`\epsilon` and onto [0, 1]. The radius shrinks by
    :math:`\gamma` where the image is adversarial, and grows where it is not. Before the first
    success it is where the linearized boundary lies. Both :math:`\gamma` and the step fall on a
    cosine. The nearest adversarial image of all steps is the result. An image is returned unchanged
    if it is misclassified or none was found.

    Two things differ from the authors' code. In L1 the projection onto the ball and onto [0, 1] is
    one, and exact. In L0 pixels count, not values, so that all channels of a pixel change together.

    Args:
        model: View to attack.
        norm: Linf, L2, L1 or L0.
        steps: Forward passes, each with a backward pass.
        alpha: First step in pixel units, by its L2 length; it falls to a hundredth.
        gamma: First relative change of the radius, in (0, 1); it falls to 0.001.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        norm: Norm = "L2",
        steps: int = 100,
        alpha: float = 1.0,
        gamma: float = 0.05,
    ) -> None:
        super().__init__(model)
        check_choice("norm", norm, ("Linf", "L2", "L1", "L0"))
        if steps < 2:
            raise ConfigError(
                f"Expected `steps` to be at least 2, but got {steps}. "
                "The first sees the clean image."
            )
        if not 0 < alpha < math.inf:
            raise ConfigError(f"Expected `alpha` to be positive, but got {alpha}.")
        if not 0 < gamma < 1:
            raise ConfigError(f"Expected `gamma` to be between 0 and 1, but got {gamma}.")
        self.norm, self.steps, self.alpha, self.gamma = norm, steps, alpha, gamma

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape."""
        target = self.target(images, labels)
        with torch.no_grad():
            remaining = ~is_adversarial(self.get_logits(images), labels, target)
        result = images.clone()
        if remaining.any():
            goal = None if target is None else target[remaining]
            result[remaining] = self._search(images[remaining], labels[remaining], goal)
        return confirmed(self.get_logits, images, result, labels, target)

    def _search(self, x: Images, y: Labels, target: Labels | None) -> Images:
        now, best, radius = x, x.clone(), _Radius(x, self.norm)
        for step in range(self.steps):
            cosine = (1 + math.cos(math.pi * step / self.steps)) / 2
            scores, loss, gradient = self._look(now, y, target)
            adversarial = is_adversarial(scores, y, target)
            lengths = distance(x, self.nearest_alike(x, now), self.norm)
            better = adversarial & (lengths < radius.nearest)
            best = torch.where(better.view(-1, 1, 1, 1), now, best)
            unit, size = normalized(gradient)
            gamma = _LAST_GAMMA + (self.gamma - _LAST_GAMMA) * cosine
            radius.follow(adversarial, lengths, self._way(loss, unit, size), gamma)
            alpha = self.alpha * (_LAST_STEP + (1 - _LAST_STEP) * cosine)
            now = _nearest_within(self.norm, x, now + alpha * unit, radius.now)
        return best

    def _look(
        self, now: Images, y: Labels, target: Labels | None
    ) -> tuple[Scores, Float[Tensor, " n"], Images]:
        """Return the scores, the margin to climb, and its gradient."""
        now = now.detach().requires_grad_()
        scores = self.get_logits(now)
        loss = signed_margin(scores, y, target)
        (gradient,) = torch.autograd.grad(loss.sum(), now)
        return scores.detach(), loss.detach(), gradient

    def _way(
        self, loss: Float[Tensor, " n"], unit: Images, size: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the distance to the boundary if the loss were linear."""
        if self.norm == "L0":
            return torch.zeros_like(loss)
        slope: Tensor = torch.linalg.vector_norm(unit.flatten(1), _DUAL[self.norm], dim=1) * size
        return loss.abs() / slope.clamp_min(1e-12)


class _Radius:
    """The radius of each image's ball, which follows the boundary."""

    def __init__(self, x: Images, norm: Norm) -> None:
        self._norm = norm
        self._largest = distance(x, torch.where(x < 0.5, 1.0, 0.0).to(x.dtype), norm)
        self.nearest = torch.full_like(self._largest, math.inf)
        """Distance of the nearest adversarial image so far."""
        self.now = torch.full_like(self._largest, 1.0 if norm == "L0" else math.inf)

    def follow(
        self,
        adversarial: Bool[Tensor, " n"],
        lengths: Float[Tensor, " n"],
        way: Float[Tensor, " n"],
        gamma: float,
    ) -> None:
        """Shrink where the image is adversarial, and grow where it is not."""
        self.nearest = torch.where(adversarial & (lengths < self.nearest), lengths, self.nearest)
        shrunk, grown = self.now * (1 - gamma), self.now * (1 + gamma)
        if self._norm == "L0":
            shrunk = torch.minimum(self.now - 1, shrunk.floor())
            grown = torch.maximum(self.now + 1, grown.floor())
        else:
            # A little beyond: on the boundary itself the scores tie, and the radius would stay.
            beyond = (lengths + way) * (1 + _LAST_GAMMA)
            grown = torch.where(self.nearest.isfinite(), grown, beyond)
        shrunk = torch.minimum(shrunk, self.nearest)
        self.now = torch.where(adversarial, shrunk, grown).clamp_min(0)
        self.now = torch.minimum(self.now, self._largest)


def _nearest_within(norm: Norm, x: Images, moved: Images, radius: Float[Tensor, " n"]) -> Images:
    """Return the images of [0, 1] near ``moved`` whose distance is within a radius of their own."""
    if norm == "L1":
        return onto_l1_ball(x, moved, radius)
    delta, wide = moved - x, radius.to(x.dtype).view(-1, 1, 1, 1)
    if norm == "L0":
        return torch.where(_largest_pixels(delta, radius), moved, x).clamp(0, 1)
    if norm == "L2":
        # Onto the sphere, as in the authors' code: short steps would not reach the radius.
        return (x + normalized(delta)[0] * wide).clamp(0, 1)
    return (x + torch.clamp(delta, -wide, wide)).clamp(0, 1)


def _largest_pixels(delta: Images, count: Float[Tensor, " n"]) -> Bool[Tensor, "n 1 h w"]:
    """Say which pixels have the largest changes, so many of each image."""
    sizes = delta.square().sum(dim=1).flatten(1)
    order = sizes.argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1)
    return (rank < count.view(-1, 1)).view(len(delta), 1, *delta.shape[2:])
