"""The fast gradient sign method and its variants need one gradient.

Goodfellow et al. 2015 (https://arxiv.org/abs/1412.6572); equations of Tuna et al. 2022
(https://arxiv.org/abs/2202.07342).
"""

from typing import Literal, final

import torch
from torch import nn

from robust import losses
from robust.attacks.base import Attack, RandomStreams, check_choice
from robust.attacks.gradient.base import GradientAttack, Precision
from robust.errors import ConfigError
from robust.losses import Loss
from robust.threat import ThreatModel
from robust.types import Images, Labels


@final
class FGSM(GradientAttack):
    """FGSM, the fast gradient sign method, takes one step of length ``eps``.

    Goodfellow et al. 2015; Tuna et al. 2022, Eq. 1.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        loss: What to climb where the view names no objective.
        precision: Of the gradient: ``float32``, ``bfloat16`` or ``float64``.

    Raises:
        ConfigError: If ``eps`` is negative.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        loss: Loss = "cross_entropy",
        precision: Precision = "float32",
    ) -> None:
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", eps),
            alpha=eps,
            steps=1,
            loss=loss,
            precision=precision,
        )


@final
class TGSM(GradientAttack):
    """TGSM, the targeted gradient sign method, takes one step of length ``eps``.

    Tuna et al. 2022, Eq. 2 and 3.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        equation: 2 descends the target's loss; 3 climbs the label's loss minus the target's.

    Raises:
        ConfigError: If an argument is out of range, or no target class is given for Eq. 3.
    """

    def __init__(self, model: nn.Module, eps: float = 8 / 255, equation: Literal[2, 3] = 2) -> None:
        check_choice("equation", equation, (2, 3))
        threat_model = ThreatModel("Linf", eps)
        super().__init__(
            model, threat_model=threat_model, alpha=eps, steps=1, difference=equation == 3
        )


@final
class RandomFGSM(GradientAttack):
    """RandomFGSM takes a random step of signs, then FGSM with what is left of ``eps``.

    Zantedeschi et al. 2017 (https://arxiv.org/abs/1707.06728), after Tramer et al. 2018
    (https://arxiv.org/abs/1705.07204, Eq. 3). For ``eps`` up to ``alpha`` nothing is left, and the
    attack is noise.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        alpha: Length of the random step, not negative; 0.05 in the paper.
        loss: What to climb where the view names no objective.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 0.3,
        alpha: float = 0.05,
        loss: Loss = "cross_entropy",
    ) -> None:
        if not alpha >= 0:
            raise ConfigError(f"Expected `alpha` to be non-negative, but got {alpha}.")
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", eps),
            alpha=max(eps - alpha, 0.0),
            steps=1,
            random_start=True,
            loss=loss,
        )
        self.random_step = min(alpha, eps)

    def _start(self, x: Images, streams: RandomStreams) -> Images:
        noise = streams.normal(*x.shape[1:]).sign().to(x.dtype)
        return (x + self.random_step * noise).clamp(0, 1)


@final
class MinimalFGSM(Attack):
    """MinimalFGSM takes the shortest step of FGSM on a grid at which an image is misclassified.

    Zantedeschi et al. 2017 (https://arxiv.org/abs/1707.06728, section 5.2) take 0.05, 0.10, ..., 1.
    It looks for the nearest adversarial image on one line, so it has no ``eps``. An image without
    one is returned unchanged. The line follows `robust.losses.log_odds`. The gradient of the
    authors' code is rounded (see there), and its search is wrong, too:
    `robust.measures.robustness.published_minimal_fgsm`.

    Args:
        model: View to attack.
        step: Distance of two lengths in pixel units, positive.
        largest: The last length, at least ``step``.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(self, model: nn.Module, step: float = 0.05, largest: float = 1.0) -> None:
        super().__init__(model)
        if not 0 < step <= largest:
            raise ConfigError(
                f"Expected 0 < `step` <= `largest`, but got {step} and {largest}. Give both in "
                "pixel units."
            )
        self.step, self.largest = step, largest

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape."""
        target = self.target(images, labels)
        x = images.detach().requires_grad_()
        goal = labels if target is None else target
        loss = losses.log_odds(self.get_logits(x), goal).sum()
        (gradient,) = torch.autograd.grad(loss if target is None else -loss, x)
        return self._search(images, gradient.sign(), labels, target)

    @torch.no_grad()
    def _search(self, images: Images, signs: Images, y: Labels, target: Labels | None) -> Images:
        result = images.clone()
        done = self._succeeds(images, y, target)
        left = (~done).nonzero().squeeze(1)
        for k in range(1, int(self.largest / self.step + 1e-6) + 1):
            if not len(left):
                break
            x_adv = (images[left] + k * self.step * signs[left]).clamp(0, 1)
            goal = None if target is None else target[left]
            success = self._succeeds(x_adv, y[left], goal)
            result[left[success]] = x_adv[success]
            left = left[~success]
        return result
