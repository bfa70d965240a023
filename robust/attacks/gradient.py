"""Gradient attacks: one loop and its presets.

Goodfellow et al. 2015 (https://arxiv.org/abs/1412.6572) for FGSM, Kurakin et al. 2017
(https://arxiv.org/abs/1607.02533) for its iterated and targeted forms, Dong et al. 2018
(https://arxiv.org/abs/1710.06081) for momentum, Madry et al. 2018 (https://arxiv.org/abs/1706.06083)
for PGD. Other equation numbers are those of Tuna et al. 2022 (https://arxiv.org/abs/2202.07342).
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robust import losses
from robust.attacks.base import Draws, OwnAttack
from robust.attacks.views import HasObjective
from robust.errors import ConfigError
from robust.threat import ThreatModel
from robust.types import Images, Labels, Scores

Loss = Literal["cross_entropy", "margin", "dlr"]
Precision = Literal["float32", "bfloat16"]

_LOSSES = {
    "cross_entropy": losses.cross_entropy,
    "margin": losses.margin,
    "dlr": losses.dlr,
}


@dataclass
class _Active:
    """The samples that are still worked on."""

    index: Tensor
    """Their places in the batch."""
    x: Images
    y: Labels
    target: Labels | None
    x_adv: Images
    momentum: Images

    def keep(self, chosen: Bool[Tensor, " n"]) -> None:
        if chosen.all():
            return
        self.index, self.x, self.y = self.index[chosen], self.x[chosen], self.y[chosen]
        self.x_adv, self.momentum = self.x_adv[chosen], self.momentum[chosen]
        self.target = None if self.target is None else self.target[chosen]


class GradientAttack(OwnAttack):
    """Steps along the gradient of the view's objective, projected to the threat model.

    The objective is the view's own if it names one, else `loss`. Untargeted, the label's is
    climbed; targeted, the target's is descended; with ``difference`` the attacker climbs the
    label's minus the target's. Gradients are taken with respect to the images only.

    An image that is broken keeps that result and leaves the batch, so that an attack costs what the
    images need that resist. Whether one is broken is decided in the precision of the images, also
    where gradients are taken in bfloat16.

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
        loss: Loss = "cross_entropy",
        decay: float = 0.0,
        early_stop: bool = True,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(model)
        for name, count in (("steps", steps), ("restarts", restarts)):
            if count < 1:
                raise ConfigError(f"Expected `{name}` to be at least 1, but got {count}.")
        for name, value in (("alpha", alpha), ("decay", decay)):
            if not value >= 0:
                raise ConfigError(f"Expected `{name}` to be non-negative, but got {value}.")
        if loss not in _LOSSES:
            raise ConfigError(f"Expected `loss` to be one of {', '.join(_LOSSES)}, but got {loss}.")
        self.threat_model = threat_model
        self.norm, self.eps = threat_model.norm, threat_model.eps
        self.alpha, self.steps, self.random_start = alpha, steps, random_start
        self.restarts, self.difference, self.loss = restarts, difference, loss
        self.decay, self.early_stop, self.precision = decay, early_stop, precision

    def forward(self, images: Images, labels: Labels) -> Images:
        """Adversarial images of the same shape."""
        if self.difference and not self.targeted:
            raise ConfigError(
                f"Expected a target class for {self.attack} with a difference of losses, but got "
                "none. Name one in the suite's `targets`."
            )
        target, draws = self.target(images, labels), self.draws(images)
        x_adv = images.clone()
        left = torch.arange(len(images), device=images.device)
        for _ in range(self.restarts):
            x = images[left]
            start = self._start(x, draws) if self.random_start else x
            goal = None if target is None else target[left]
            active = _Active(left, x, labels[left], goal, start, torch.zeros_like(x))
            self._climb(active, x_adv)
            if self.restarts > 1:
                survived = ~self._broken(x_adv[left], labels[left], goal)
                left, draws = left[survived], draws[survived]
                if not len(left):
                    break
        return x_adv

    def _climb(self, active: _Active, result: Images) -> None:
        """Move the active images step by step; write each into ``result`` when it is done."""
        for step in range(self.steps):
            gradient, scores = self._gradient(active)
            if self.early_stop and step:
                broken = self._decide(active, scores)
                result[active.index[broken]] = active.x_adv[broken]
                active.keep(~broken)
                gradient = gradient[~broken]
                if not len(active.index):
                    return
            direction = self._direction(self._with_momentum(active, gradient))
            moved = active.x_adv + self.alpha * direction
            active.x_adv = self.threat_model.project(active.x, moved)
        result[active.index] = active.x_adv

    def _gradient(self, active: _Active) -> tuple[Images, Scores]:
        x_adv = active.x_adv.detach().requires_grad_()
        half = self.precision == "bfloat16"
        with torch.autocast(x_adv.device.type, torch.bfloat16, enabled=half):
            scores: Scores = self.get_logits(x_adv)
        total = self._loss(scores.to(x_adv.dtype), active.y, active.target).sum()
        (gradient,) = torch.autograd.grad(total, x_adv)
        return gradient, scores.detach()

    def _loss(self, outputs: Scores, y: Labels, target: Labels | None) -> Float[Tensor, " n"]:
        if target is None:
            return self._objective(outputs, y)
        if self.difference:
            return self._objective(outputs, y) - self._objective(outputs, target)
        return -self._objective(outputs, target)

    def _objective(self, outputs: Scores, y: Labels) -> Float[Tensor, " n"]:
        if isinstance(self.model, HasObjective):
            return self.model.objective(outputs, y)
        return _LOSSES[self.loss](outputs, y)

    def _with_momentum(self, active: _Active, gradient: Images) -> Images:
        if not self.decay:
            return gradient
        mean = gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        # A gradient of zero adds nothing, where dividing by its mean would add NaN.
        scaled = gradient / mean.clamp_min(torch.finfo(gradient.dtype).tiny)
        active.momentum = self.decay * active.momentum + scaled
        return active.momentum

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

    def _decide(self, active: _Active, scores: Scores) -> Bool[Tensor, " n"]:
        """Which active images are broken; bfloat16 scores only name candidates."""
        broken = _reached(scores, active.y, active.target)
        if self.precision == "bfloat16" and broken.any():
            target = None if active.target is None else active.target[broken]
            sure = self._broken(active.x_adv[broken], active.y[broken], target)
            broken[broken.clone()] = sure
        return broken

    @torch.no_grad()
    def _broken(self, x_adv: Images, y: Labels, target: Labels | None) -> Bool[Tensor, " n"]:
        return _reached(self.get_logits(x_adv), y, target)


def _reached(scores: Scores, y: Labels, target: Labels | None) -> Bool[Tensor, " n"]:
    predicted = scores.argmax(dim=1)
    return predicted != y if target is None else predicted == target


@final
class FGSM(GradientAttack):
    """Fast gradient sign method: one step of length ``eps``. Tuna et al. 2022, Eq. 1.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        loss: What to climb where the view names no objective.

    Raises:
        ConfigError: If ``eps`` is negative.
    """

    def __init__(
        self, model: nn.Module, eps: float = 8 / 255, loss: Loss = "cross_entropy"
    ) -> None:
        threat_model = ThreatModel("Linf", eps)
        super().__init__(model, threat_model=threat_model, alpha=eps, steps=1, loss=loss)


@final
class TGSM(GradientAttack):
    """Targeted gradient sign method, one step of length ``eps``. Tuna et al. 2022, Eq. 2 and 3.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        equation: 2 descends the target's loss; 3 climbs the label's loss minus the target's.

    Raises:
        ConfigError: If ``eps`` is negative, or no target class is given for Eq. 3.
    """

    def __init__(self, model: nn.Module, eps: float = 8 / 255, equation: Literal[2, 3] = 2) -> None:
        threat_model = ThreatModel("Linf", eps)
        super().__init__(
            model, threat_model=threat_model, alpha=eps, steps=1, difference=equation == 3
        )


@final
class BIM(GradientAttack):
    """Basic iterative method, no random start. Tuna et al. 2022, Eq. 4 and Table VII.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        alpha: Length of a step; a tenth of ``eps`` if None, as in Table VII.
        steps: Gradient steps.
        loss: What to climb where the view names no objective.
        early_stop: Whether an image is left alone once it is broken.
        precision: Of the gradients; whether an image is broken is decided in its own.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        alpha: float | None = None,
        steps: int = 20,
        loss: Loss = "cross_entropy",
        early_stop: bool = True,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", eps),
            alpha=eps / 10 if alpha is None else alpha,
            steps=steps,
            loss=loss,
            early_stop=early_stop,
            precision=precision,
        )


@final
class TargetedBIM(GradientAttack):
    """Targeted basic iterative method, no random start. Tuna et al. 2022, Eq. 5 and Table VII.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        alpha: Length of a step; a tenth of ``eps`` if None, as in Table VII.
        steps: Gradient steps.
        difference: False descends the target's loss, as foolbox does; True is Eq. 5, which climbs
            the label's loss minus the target's.

    Raises:
        ConfigError: If an argument is out of range, or no target class is given for Eq. 5.
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


@final
class MIFGSM(GradientAttack):
    """Momentum iterative FGSM. Dong et al. 2018, Eq. 6 and 7.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        alpha: Length of a step; ``eps / steps`` if None, as in the paper.
        steps: Gradient steps.
        decay: What remains of the momentum, not negative; 1 in the paper.
        early_stop: Whether an image is left alone once it is broken.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        alpha: float | None = None,
        steps: int = 10,
        decay: float = 1.0,
        early_stop: bool = True,
    ) -> None:
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", eps),
            alpha=eps / max(steps, 1) if alpha is None else alpha,
            steps=steps,
            decay=decay,
            early_stop=early_stop,
        )


@final
class PGD(GradientAttack):
    """Projected gradient descent from random starts, with restarts. Madry et al. 2018.

    Args:
        model: View to attack.
        eps: Radius in pixel units, not negative.
        alpha: Length of a step in pixel units; ``2.5 * eps / steps`` if None.
        steps: Gradient steps from each start; Madry et al. take 40 of 0.01 on MNIST.
        norm: Linf (sign of the gradient) or L2 (its direction).
        random_start: Start uniformly in the ball, or at the image.
        restarts: Starts; an image that one of them breaks is left alone by the later ones.
        loss: What to climb where the view names no objective.
        early_stop: Whether an image is left alone once it is broken.
        precision: Of the gradients; whether an image is broken is decided in its own.

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
        loss: Loss = "cross_entropy",
        early_stop: bool = True,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(
            model,
            threat_model=ThreatModel(norm, eps),
            alpha=2.5 * eps / max(steps, 1) if alpha is None else alpha,
            steps=steps,
            random_start=random_start,
            restarts=restarts,
            loss=loss,
            early_stop=early_stop,
            precision=precision,
        )


@final
class RandomFGSM(GradientAttack):
    """A random step of signs, then FGSM with what is left of ``eps``.

    Zantedeschi et al. 2017 (https://arxiv.org/abs/1707.06728), after Tramer et al. 2018
    (https://arxiv.org/abs/1705.07204, Eq. 3). For ``eps`` up to ``alpha`` nothing is left, and the
    attack is noise.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        alpha: Length of the random step, not negative; 0.05 in the paper.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(self, model: nn.Module, eps: float = 0.3, alpha: float = 0.05) -> None:
        if not alpha >= 0:
            raise ConfigError(f"Expected `alpha` to be non-negative, but got {alpha}.")
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", eps),
            alpha=max(eps - alpha, 0.0),
            steps=1,
            random_start=True,
        )
        self.random_step = min(alpha, eps)

    def _start(self, x: Images, draws: Draws) -> Images:
        noise = draws.normal(*x.shape[1:]).sign().to(x.dtype)
        return (x + self.random_step * noise).clamp(0, 1)


@final
class IFGSM(GradientAttack):
    """Iterated FGSM whose every step is as long as its budget. Wang et al. 2018, Eq. 5.

    https://arxiv.org/abs/1809.08516. The paper's formula does not project, so ten steps of 0.02 may
    reach 0.2; its code does.

    Args:
        model: View to attack.
        step: Length of a step in pixel units, not negative: the paper's eps.
        steps: Gradient steps.
        project: Whether to stay within ``step`` of the image. If not, the attack's ``eps`` is
            ``steps * step``, which its threat model must allow.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self, model: nn.Module, step: float = 8 / 255, steps: int = 10, project: bool = True
    ) -> None:
        reach = step if project else step * steps
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", reach),
            alpha=step,
            steps=steps,
            early_stop=False,
        )


@final
class MinimalFGSM(OwnAttack):
    """The first length on a grid at which a step of FGSM breaks an image.

    Zantedeschi et al. 2017 (https://arxiv.org/abs/1707.06728, section 5.2) take 0.05, 0.10, ..., 1.
    Looks for the nearest adversarial image on one line, so it has no ``eps``; an image that no
    length breaks is returned unchanged.

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
        """Adversarial images of the same shape."""
        target = self.target(images, labels)
        x = images.detach().requires_grad_()
        goal = labels if target is None else target
        loss = losses.cross_entropy(self.get_logits(x), goal).sum()
        (gradient,) = torch.autograd.grad(loss if target is None else -loss, x)
        return self._search(images, gradient.sign(), labels, target)

    @torch.no_grad()
    def _search(self, images: Images, signs: Images, y: Labels, target: Labels | None) -> Images:
        result = images.clone()
        done = _reached(self.get_logits(images), y, target)
        left = (~done).nonzero().squeeze(1)
        for k in range(1, int(self.largest / self.step + 1e-6) + 1):
            if not len(left):
                break
            x_adv = (images[left] + k * self.step * signs[left]).clamp(0, 1)
            goal = None if target is None else target[left]
            broken = _reached(self.get_logits(x_adv), y[left], goal)
            result[left[broken]] = x_adv[broken]
            left = left[~broken]
        return result
