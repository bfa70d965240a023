"""PDPGD descends primal and dual variables: Matyasko and Chau 2021, https://arxiv.org/abs/2106.01538."""

import math
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robust.attacks.base import Attack, check_choice
from robust.attacks.judging import confirmed, is_adversarial, signed_margin
from robust.attacks.minimal.adam import Adam
from robust.errors import ConfigError
from robust.threat import distance
from robust.types import Images, Labels

_LAST_STEP = 0.01
"""The last primal step, relative to the first one; it falls exponentially."""
_DUAL_STEP, _LAST_DUAL_STEP = 0.1, 0.01
_REMEMBERED = 0.9
"""What remains of the dual variables' mean at each step."""
_MOST = -math.log(1e-6)
"""Of the logarithm of both weights' ratio."""
_PROXIMAL_STEPS = 5
_SETTLED = 0.01


@final
class PDPGD(Attack):
    r"""PDPGD finds a near adversarial image in L1 or L2, by primal-dual proximal gradient descent.

    The Lagrangian is :math:`\lambda_0 \|\delta\| + \lambda_1` times the softplus of what is lacking
    of the difference of scores. The weight of the latter rises where the image is not adversarial,
    and falls where it is. Adam descends the second term. The proximal operator of the norm then
    shrinks the change, with the metric of Adam (a few inner steps). The nearest adversarial image
    of all steps is the result, after the last stretch to the boundary was halved a few times. An
    image is returned unchanged if it is misclassified or none was found.

    Args:
        model: View to attack.
        norm: L1 or L2.
        steps: Forward passes, each with a backward pass; 500 in the authors' comparison.
        step: First step of Adam in pixel units; it falls to a hundredth.
        ratio: First weight of the norm, relative to that of the other term; 0.01 in the authors'
            code. It grows by at most a tenth at a step, so that fewer steps need a larger one.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        norm: Literal["L1", "L2"] = "L1",
        steps: int = 300,
        step: float = 0.1,
        ratio: float = 0.05,
    ) -> None:
        super().__init__(model)
        check_choice("norm", norm, ("L1", "L2"))
        if steps < 2:
            raise ConfigError(
                f"Expected `steps` to be at least 2, but got {steps}. "
                "The first sees the clean image."
            )
        for name, value in (("step", step), ("ratio", ratio)):
            if not 0 < value < math.inf:
                raise ConfigError(f"Expected `{name}` to be positive, but got {value}.")
        self.norm, self.steps, self.step, self.ratio = norm, steps, step, ratio

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape."""
        target = self.target(images, labels)
        with torch.no_grad():
            remaining = ~is_adversarial(self.get_logits(images), labels, target)
        result = images.clone()
        if remaining.any():
            goal = None if target is None else target[remaining]
            x, y = images[remaining], labels[remaining]
            result[remaining] = self.halved(x, self._search(x, y, goal), y, goal)
        return confirmed(self.get_logits, images, result, labels, target)

    def _search(self, x: Images, y: Labels, target: Labels | None) -> Images:
        now, best, adam = x, x.clone(), Adam(x)
        nearest = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
        odds = x.new_full((len(x),), -math.log(self.ratio))
        share = odds.sigmoid()
        for number in range(self.steps):
            gradient, lack, adversarial = self._look(now, y, target)
            lengths = distance(x, self.nearest_alike(x, now), self.norm)
            better = adversarial & (lengths < nearest)
            nearest = torch.where(better, lengths, nearest)
            best = torch.where(better.view(-1, 1, 1, 1), now, best)
            mean, scale = adam.moments(gradient)
            step = self.step * _LAST_STEP ** (number / self.steps)
            now = (now - step * mean / scale).clamp(0, 1)
            now = self._proximal(x, now, scale, step * (1 - share) / share)
            dual = _DUAL_STEP + (_LAST_DUAL_STEP - _DUAL_STEP) * number / (self.steps - 1)
            odds = (odds + dual * lack.sign()).clamp(-_MOST, _MOST)
            share = share.lerp(odds.sigmoid(), 1 - _REMEMBERED)
        return best

    def _look(
        self, now: Images, y: Labels, target: Labels | None
    ) -> tuple[Images, Float[Tensor, " n"], Bool[Tensor, " n"]]:
        """Return the gradient, what is lacking to be adversarial, and which images are."""
        now = now.detach().requires_grad_()
        scores = self.get_logits(now)
        lack = -signed_margin(scores, y, target)
        (gradient,) = torch.autograd.grad(F.softplus(lack).sum(), now)
        return gradient, lack.detach(), is_adversarial(scores.detach(), y, target)

    def _proximal(
        self, x: Images, moved: Images, scale: Images, weight: Float[Tensor, " n"]
    ) -> Images:
        """Return images nearer to ``x``, where a value of a steep gradient gives up less.

        Melchior et al. 2019, https://arxiv.org/abs/1910.10094.
        """
        largest = scale.flatten(1).amax(dim=1).view(-1, 1, 1, 1)
        metric, weight = scale / largest, weight.view(-1, 1, 1, 1) / largest
        change, settled = moved - x, torch.zeros(len(x), dtype=torch.bool, device=x.device)
        aim = change
        for _ in range(_PROXIMAL_STEPS):
            shrunk = self._shrunk(change - metric * (change - aim), weight)
            shrunk = (x + shrunk).clamp(0, 1) - x
            shrunk = torch.where(settled.view(-1, 1, 1, 1), change, shrunk)
            size = shrunk.flatten(1).norm(dim=1).clamp_min(1e-12)
            settled |= (shrunk - change).flatten(1).norm(dim=1) < _SETTLED * size
            change = shrunk
            if settled.all():
                break
        return (x + change).clamp(0, 1)

    def _shrunk(self, change: Images, weight: Float[Tensor, "n 1 1 1"]) -> Images:
        """Return the proximal operator of the norm."""
        if self.norm == "L1":
            return (change.abs() - weight).clamp_min(0) * change.sign()
        size: Tensor = change.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
        return change * (1 - weight / size).clamp_min(0)
