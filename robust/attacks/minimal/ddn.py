"""DDN separates the direction of a perturbation from its norm.

Rony, Hafemann, Oliveira, Ben Ayed, Sabourin and Granger 2019, https://arxiv.org/abs/1811.09600.
"""

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robust.attacks.base import Attack
from robust.attacks.judging import confirmed, is_adversarial, mask_class, normalized
from robust.attacks.views import named_objective
from robust.errors import ConfigError
from robust.types import Images, Labels, Scores


@final
class DDN(Attack):
    r"""DDN, decoupled direction and norm, finds a near adversarial image in L2.

    This is algorithm 1 of the paper, without quantization. Step k moves the perturbation by
    :math:`\alpha_k` along the direction of the loss's gradient, where :math:`\alpha_k` falls from 1
    to 0.01 on a cosine. Then it sets the norm to
    :math:`\epsilon_k = (1 \pm \gamma) \epsilon_{k-1}`, smaller if the image was adversarial and
    larger if not. At last it clips the image to [0, 1]. The nearest adversarial image of all steps
    is the result. An image is returned unchanged if it is misclassified or none was found.

    The loss is the view's own objective if it names one, else the log-odds of the label. Their
    gradient has exactly the direction of cross-entropy's, and does not vanish where the softmax
    rounds to one. Where the gradient is zero, the direction is random, one for each image.

    Args:
        model: View to attack.
        steps: Forward passes; one backward pass less.
        gamma: Relative change of the norm at each step, in (0, 1).
        init_norm: First norm, in pixel units.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self, model: nn.Module, steps: int = 100, gamma: float = 0.05, init_norm: float = 1.0
    ) -> None:
        super().__init__(model)
        if steps < 2:
            raise ConfigError(
                f"Expected `steps` to be at least 2, but got {steps}. "
                "The first sees the clean image."
            )
        if not 0 < gamma < 1:
            raise ConfigError(f"Expected `gamma` to be between 0 and 1, but got {gamma}.")
        if not 0 < init_norm < math.inf:
            raise ConfigError(f"Expected `init_norm` to be positive, but got {init_norm}.")
        self.norm = "L2"
        self.steps, self.gamma, self.init_norm = steps, gamma, init_norm

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape."""
        target = self.target(images, labels)
        with torch.no_grad():
            remaining = ~is_adversarial(self.get_logits(images), labels, target)
        result = images.clone()
        if remaining.any():
            goal = None if target is None else target[remaining]
            # Sampled here, also if unused: a sample's numbers must not depend on the others.
            noise = self.random_streams(images)[remaining]
            x = images[remaining]
            unit, _ = normalized(noise.normal(*x.shape[1:]).to(x.dtype))
            result[remaining] = self._search(x, labels[remaining], goal, unit)
        return confirmed(self.get_logits, images, result, labels, target)

    def _search(self, x: Images, y: Labels, target: Labels | None, noise: Images) -> Images:
        delta, best = torch.zeros_like(x), x.clone()
        norm = x.new_full((len(x),), self.init_norm)
        # That of the farthest corner of the box.
        largest = torch.maximum(x, 1 - x).flatten(1).norm(dim=1)
        nearest = x.new_full((len(x),), torch.inf)
        for step in range(self.steps):
            x_adv = (x + delta).clamp(0, 1).requires_grad_(step < self.steps - 1)
            scores = self.get_logits(x_adv)
            adversarial = is_adversarial(scores, y, target)
            distance = (self.nearest_alike(x, x_adv.detach()) - x).flatten(1).norm(dim=1)
            better = adversarial & (distance < nearest)
            nearest = torch.where(better, distance, nearest)
            best = torch.where(better.view(-1, 1, 1, 1), x_adv.detach(), best)
            if step == self.steps - 1:
                break
            (gradient,) = torch.autograd.grad(self._loss(scores, y, target).sum(), x_adv)
            direction, size = normalized(gradient)
            direction = torch.where((size > 0).view(-1, 1, 1, 1), direction, noise)
            norm = norm * torch.where(adversarial, 1 - self.gamma, 1 + self.gamma)
            norm = torch.minimum(norm, largest)
            alpha = 0.01 + 0.99 * (1 + math.cos(math.pi * step / self.steps)) / 2
            delta = delta + alpha * direction
            delta = normalized(delta)[0] * norm.view(-1, 1, 1, 1)
            delta = (x + delta).clamp(0, 1) - x
        return best

    def _loss(self, scores: Scores, y: Labels, target: Labels | None) -> Float[Tensor, " n"]:
        """Return what the attacker climbs."""
        label, sign = (y, 1) if target is None else (target, -1)
        named = named_objective(self.model, scores, label, targeted=target is not None)
        if named is not None:
            return sign * named
        own = scores.gather(1, label.view(-1, 1)).squeeze(1)
        return sign * (mask_class(scores, label).logsumexp(dim=1) - own)
