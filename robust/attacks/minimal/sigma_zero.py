"""Sigma-zero finds sparse adversarial images: Cina et al. 2024, https://arxiv.org/abs/2402.01879."""

import math
from typing import final

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from robust.attacks.base import Attack
from robust.attacks.judging import confirmed, is_adversarial, signed_margin
from robust.attacks.minimal.adam import Adam
from robust.errors import ConfigError
from robust.threat import distance
from robust.types import Images, Labels

_LAST_STEP = 0.1
"""The last step, relative to the first one."""
_THRESHOLD_STEP = 0.01


@final
class SigmaZero(Attack):
    r"""SigmaZero changes few pixels: it descends a smooth count of them with Adam.

    Algorithm 1 of the paper. The count is the mean of
    :math:`\delta^2 / (\delta^2 + \sigma)`, and the loss is that plus what is lacking of the
    difference of scores. After every step changes below a threshold are set to zero. The threshold
    rises where the image is adversarial and falls where it is not. The adversarial image with the
    fewest changed pixels is the result. An image is returned unchanged if it is misclassified or
    none was found.

    Pixels count, not values as in the authors' code, so that :math:`\delta^2` is the sum over the
    channels of a pixel. The targeted mode is ours.

    Args:
        model: View to attack.
        steps: Forward passes, each with a backward pass; 1000 in the paper.
        step: First step of Adam in pixel units; it falls to a tenth on a cosine.
        sigma: Smoothness of the count, positive; the smaller, the closer to a count.
        threshold: Changes below it are set to zero at first, in [0, 1].

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        steps: int = 300,
        step: float = 1.0,
        sigma: float = 1e-3,
        threshold: float = 0.3,
    ) -> None:
        super().__init__(model)
        if steps < 2:
            raise ConfigError(
                f"Expected `steps` to be at least 2, but got {steps}. "
                "The first sees the clean image."
            )
        for name, value in (("step", step), ("sigma", sigma)):
            if not 0 < value < math.inf:
                raise ConfigError(f"Expected `{name}` to be positive, but got {value}.")
        if not 0 <= threshold <= 1:
            raise ConfigError(f"Expected `threshold` to be in [0, 1], but got {threshold}.")
        self.norm = "L0"
        self.steps, self.step, self.sigma, self.threshold = steps, step, sigma, threshold

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
        now, best, adam = x, x.clone(), Adam(x)
        fewest = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
        threshold, step = x.new_full((len(x),), self.threshold), self.step
        for number in range(self.steps):
            gradient, adversarial = self._look(x, now, y, target)
            pixels = distance(x, self.nearest_alike(x, now), "L0")
            better = adversarial & (pixels < fewest)
            fewest = torch.where(better, pixels, fewest)
            best = torch.where(better.view(-1, 1, 1, 1), now, best)
            largest = gradient.flatten(1).abs().amax(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
            moved = (now - step * adam.direction(gradient / largest)).clamp(0, 1)
            cosine = (1 + math.cos(math.pi * number / self.steps)) / 2
            step = self.step * (_LAST_STEP + (1 - _LAST_STEP) * cosine)
            threshold = threshold + _THRESHOLD_STEP * step * torch.where(adversarial, 1.0, -1.0)
            threshold = threshold.clamp(0, 1)
            size = (moved - x).square().sum(dim=1, keepdim=True).sqrt()
            now = torch.where(size < threshold.view(-1, 1, 1, 1), x, moved)
        return best

    def _look(
        self, x: Images, now: Images, y: Labels, target: Labels | None
    ) -> tuple[Images, Bool[Tensor, " n"]]:
        """Return the gradient of the loss, and which images are adversarial."""
        now = now.detach().requires_grad_()
        scores = self.get_logits(now)
        squares = (now - x).square().sum(dim=1).flatten(1)
        count = (squares / (squares + self.sigma)).mean(dim=1)
        loss = signed_margin(scores, y, target).neg().clamp_min(0) + count
        (gradient,) = torch.autograd.grad(loss.sum(), now)
        return gradient, is_adversarial(scores.detach(), y, target)
