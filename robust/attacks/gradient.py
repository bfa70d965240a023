"""Gradient attacks that torchattacks lacks: with restarts, and on a difference of losses.

One loop and its presets. Madry et al. 2018 (https://arxiv.org/abs/1706.06083) for PGD; Kurakin et
al. 2017 (https://arxiv.org/abs/1607.02533) for the targeted and iterated steps; equation numbers
are those of Tuna et al. 2022 (https://arxiv.org/abs/2202.07342).
"""

from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from robust.attacks.base import Draws, OwnAttack
from robust.attacks.views import HasObjective
from robust.errors import ConfigError
from robust.threat import ThreatModel
from robust.types import Images, Labels, Scores


class GradientAttack(OwnAttack):
    """Steps along the gradient of the view's objective, projected to the threat model.

    The objective is the view's own if it names one, else cross-entropy. Untargeted, the label's is
    climbed; targeted, the target's is descended; with ``difference`` the attacker climbs the
    label's minus the target's. Gradients are taken with respect to the images only. An image that a
    restart has broken keeps that result and leaves the later ones.

    Abstract: the presets below are the attacks.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        threat_model: ThreatModel,
        alpha: float,
        steps: int,
        random_start: bool = False,
        restarts: int = 1,
        difference: bool = False,
    ) -> None:
        super().__init__(model)
        for name, count in (("steps", steps), ("restarts", restarts)):
            if count < 1:
                raise ConfigError(f"Expected `{name}` to be at least 1, but got {count}.")
        if not alpha >= 0:
            raise ConfigError(f"Expected `alpha` to be non-negative, but got {alpha}.")
        self.threat_model = threat_model
        self.norm, self.eps = threat_model.norm, threat_model.eps
        self.alpha, self.steps, self.random_start = alpha, steps, random_start
        self.restarts, self.difference = restarts, difference

    def forward(self, images: Images, labels: Labels) -> Images:
        """Adversarial images of the same shape."""
        if self.difference and not self.targeted:
            raise ConfigError(
                f"Expected a target class for {self.attack} with a difference of losses, but got "
                "none. Name one in the suite's `targets`."
            )
        target, draws = self.target(images, labels), self.draws(images)
        x_adv = images.clone()
        remaining = torch.arange(len(images), device=images.device)
        for _ in range(self.restarts):
            x, y = images[remaining], labels[remaining]
            goal = None if target is None else target[remaining]
            start = self._start(x, draws) if self.random_start else x
            x_adv[remaining] = self._climb(x, start, y, goal)
            if self.restarts > 1:
                survived = ~self._broken(x_adv[remaining], y, goal)
                remaining, draws = remaining[survived], draws[survived]
                if not len(remaining):
                    break
        return x_adv

    def _climb(self, x: Images, x_adv: Images, y: Labels, target: Labels | None) -> Images:
        for _ in range(self.steps):
            x_adv = x_adv.detach().requires_grad_()
            loss = self._loss(self.get_logits(x_adv), y, target).sum()
            (gradient,) = torch.autograd.grad(loss, x_adv)
            step = self.alpha * self._direction(gradient)
            x_adv = self.threat_model.project(x, x_adv.detach() + step)
        return x_adv

    def _loss(self, outputs: Scores, y: Labels, target: Labels | None) -> Float[Tensor, " n"]:
        if target is None:
            return self._objective(outputs, y)
        if self.difference:
            return self._objective(outputs, y) - self._objective(outputs, target)
        return -self._objective(outputs, target)

    def _objective(self, outputs: Scores, y: Labels) -> Float[Tensor, " n"]:
        if isinstance(self.model, HasObjective):
            return self.model.objective(outputs, y)
        return F.cross_entropy(outputs, y, reduction="none")

    def _direction(self, gradient: Images) -> Images:
        if self.norm == "Linf":
            return gradient.sign()
        # The scale first: squares of gradients below 1e-19 are zero in float32.
        largest = gradient.flatten(1).abs().amax(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
        gradient = gradient / largest.view(-1, 1, 1, 1)
        norms = gradient.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        return gradient / norms.clamp_min(1e-12)

    def _start(self, x: Images, draws: Draws) -> Images:
        if self.norm == "Linf":
            noise = 2 * draws.uniform(*x.shape[1:]) - 1
        else:
            # Uniform in the ball: the radius is distributed as the d-th root of a uniform number.
            radius = draws.uniform(1, 1, 1).pow(1 / x[0].numel())
            noise = self._direction(draws.normal(*x.shape[1:])) * radius
        # Drawn in float32 whatever the images are.
        return self.threat_model.project(x, x + noise.to(x.dtype) * self.eps)

    @torch.no_grad()
    def _broken(self, x_adv: Images, y: Labels, target: Labels | None) -> Tensor:
        predicted: Tensor = self.get_logits(x_adv).argmax(dim=1)
        return predicted != y if target is None else predicted == target


@final
class PGD(GradientAttack):
    """Projected gradient descent from random starts, with restarts. Madry et al. 2018.

    Args:
        model: View to attack.
        norm: Linf (sign of the gradient) or L2 (its direction).
        eps: Radius in pixel units.
        alpha: Length of a step in pixel units; ``2.5 * eps / steps`` if None.
        steps: Gradient steps from each start.
        random_start: Start uniformly in the ball, or at the image.
        restarts: Starts; an image that one of them breaks is left alone by the later ones.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        alpha: float | None = None,
        steps: int = 20,
        norm: Literal["Linf", "L2"] = "Linf",
        random_start: bool = True,
        restarts: int = 1,
    ) -> None:
        super().__init__(
            model,
            threat_model=ThreatModel(norm, eps),
            alpha=2.5 * eps / max(steps, 1) if alpha is None else alpha,
            steps=steps,
            random_start=random_start,
            restarts=restarts,
        )


@final
class TGSM(GradientAttack):
    """Targeted gradient sign method, one step of length ``eps``. Tuna et al. 2022, Eq. 2 and 3.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units.
        equation: 2 descends the target's loss; 3 climbs the label's loss minus the target's.

    Raises:
        ConfigError: If ``eps`` is negative, or no target class is given.
    """

    def __init__(self, model: nn.Module, eps: float = 8 / 255, equation: Literal[2, 3] = 2) -> None:
        threat_model = ThreatModel("Linf", eps)
        super().__init__(
            model, threat_model=threat_model, alpha=eps, steps=1, difference=equation == 3
        )


@final
class TargetedBIM(GradientAttack):
    """Targeted basic iterative method, no random start. Tuna et al. 2022, Eq. 5 and Table VII.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units.
        alpha: Length of a step; a tenth of ``eps`` if None, as in Table VII.
        steps: Gradient steps.
        difference: False descends the target's loss, as foolbox does; True is Eq. 5, which climbs
            the label's loss minus the target's.

    Raises:
        ConfigError: If an argument is out of range, or no target class is given.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        alpha: float | None = None,
        steps: int = 20,
        difference: bool = False,
    ) -> None:
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", eps),
            alpha=eps / 10 if alpha is None else alpha,
            steps=steps,
            difference=difference,
        )
