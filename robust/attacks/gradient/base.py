"""All attacks that follow the gradient share one loop; fgsm, bim and pgd preset it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robust import losses
from robust.attacks.base import Attack, RandomStreams, check_choice, direction
from robust.attacks.cells import projected
from robust.attacks.gradient.doubled import doubled
from robust.attacks.gradient.far import far_images, lead_over
from robust.attacks.gradient.sparse import l1_noise, slide
from robust.attacks.judging import is_adversarial, ranked_classes
from robust.attacks.views import named_objective
from robust.errors import ConfigError, check_at_least
from robust.losses import Loss
from robust.precision import warn_if_emulated
from robust.threat import ThreatModel
from robust.types import Images, Labels, Scores

Precision = Literal["float32", "bfloat16", "float64"]

_STRIDE = 4
"""Steps are so much longer in L2 and L1 where only values that cross a threshold use up eps."""


@dataclass
class _Active:
    """These are the samples that are still being changed."""

    index: Tensor
    """Their index in the batch."""
    x: Images
    y: Labels
    target: Labels | None
    x_adv: Images
    momentum: Images
    loss: Loss

    def keep(self, chosen: Bool[Tensor, " n"]) -> None:
        if chosen.all():
            return
        self.index, self.x, self.y = self.index[chosen], self.x[chosen], self.y[chosen]
        self.x_adv, self.momentum = self.x_adv[chosen], self.momentum[chosen]
        self.target = None if self.target is None else self.target[chosen]


class GradientAttack(Attack):
    """This attack steps along the gradient of the view's objective, within the threat model.

    The objective is the view's own if it names one, else `loss`. An untargeted attack climbs the
    label's, a targeted one descends the target's. With ``difference`` it climbs the label's minus
    the target's. Gradients are taken with respect to the images only.

    An image on which the attack succeeds keeps that result and leaves the batch, so that only
    robust images cost all steps. Success is decided in the precision of the images, also where
    gradients are taken in bfloat16 or, by a copy of the network, in float64.

    The class is abstract: the presets are the attacks. Their docstrings explain the arguments.
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
        loss: Loss | Sequence[Loss] = "cross_entropy",
        decay: float = 0.0,
        early_stop: bool = True,
        precision: Precision = "float32",
        falling: bool = False,
        far_steps: int = 0,
    ) -> None:
        super().__init__(model)
        for name, count in (("steps", steps), ("restarts", restarts)):
            if count < 1:
                raise ConfigError(f"Expected `{name}` to be at least 1, but got {count}.")
        for name, value in (("alpha", alpha), ("decay", decay)):
            if not value >= 0:
                raise ConfigError(f"Expected `{name}` to be non-negative, but got {value}.")
        check_at_least("far_steps", far_steps, 0)
        self._losses: Sequence[Loss] = [loss] if isinstance(loss, str) else list(loss)
        for one in self._losses:
            check_choice("loss", one, losses.NAMED)
        if not 1 <= len(self._losses) <= restarts:
            raise ConfigError(
                f"Expected at least one `loss` and at most one for each of {restarts} restarts, "
                f"but got {len(self._losses)}. Change one of both."
            )
        check_choice("precision", precision, get_args(Precision))
        check_choice("norm", threat_model.norm, ("Linf", "L2", "L1"))
        self.threat_model = threat_model
        self.norm, self.eps = threat_model.norm, threat_model.eps
        self.alpha, self.steps, self.random_start = alpha, steps, random_start
        self.restarts, self.difference = restarts, difference
        self.falling, self.far_steps = falling, far_steps
        self.loss = loss if isinstance(loss, str) else tuple(loss)
        self.decay, self.early_stop, self.precision = decay, early_stop, precision
        self._differentiated = model

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape."""
        if self.difference and not self.targeted:
            raise ConfigError(
                f"Expected a target class for {self.attack} with a difference of losses, but got "
                "none. Name one in the suite's `targets`."
            )
        self._differentiated = doubled(self.model) if self.precision == "float64" else self.model
        target, streams = self.target(images, labels), self.random_streams(images)
        x_adv = images.clone()
        left = torch.arange(len(images), device=images.device)
        for restart in range(self.restarts):
            x = images[left]
            goal = None if target is None else target[left]
            start = x
            if self.far_steps:
                start = self._far_start(x, labels[left], goal, streams, restart)
            elif self.random_start:
                start = self._start(x, streams)
            loss = self._losses[restart % len(self._losses)]
            active = _Active(left, x, labels[left], goal, start, torch.zeros_like(x), loss)
            self._climb(active, x_adv)
            if self.restarts > 1:
                survived = ~self._succeeds(x_adv[left], labels[left], goal)
                left, streams = left[survived], streams[survived]
                if not len(left):
                    break
        return x_adv

    def _climb(self, active: _Active, result: Images) -> None:
        """Move the active images step by step; write each into ``result`` when it is done."""
        half = self.precision == "bfloat16"
        if half:
            warn_if_emulated(result.device, "Leave out `precision: bfloat16` of the attack.")
        # Around all steps: it keeps the weights that it has rounded until it is left.
        with torch.autocast(result.device.type, torch.bfloat16, enabled=half):
            self._steps_of(active, result)

    def _steps_of(self, active: _Active, result: Images) -> None:
        for step in range(self.steps):
            gradient, scores = self._gradient(active)
            if self.early_stop and step and not self.transferred:
                success = self._decide(active, scores)
                result[active.index[success]] = active.x_adv[success]
                active.keep(~success)
                gradient = gradient[~success]
                if not len(active.index):
                    return
            climbed = self._with_momentum(active, gradient)
            step_direction = (
                slide(climbed, active.x_adv) if self.norm == "L1" else direction(climbed, self.norm)
            )
            if self.falling:
                step_direction = step_direction * (1 - step / self.steps)
            step_direction = step_direction.to(active.x.dtype)
            active.x_adv = self._moved(active.x, active.x_adv, step_direction)
        result[active.index] = active.x_adv

    def _moved(self, x: Images, x_adv: Images, step_direction: Images) -> Images:
        """One step on, and back into the threat model."""
        alpha, cells = self.alpha, self.cells
        if cells is not None and self.norm != "Linf":
            alpha *= _STRIDE
        return projected(self.threat_model, cells, x, x_adv + alpha * step_direction)

    def _gradient(self, active: _Active) -> tuple[Images, Scores]:
        wide = torch.float64 if self.precision == "float64" else active.x_adv.dtype
        x_adv = active.x_adv.detach().to(wide).requires_grad_()
        scores: Scores = self._differentiated(x_adv)
        total = self._total(scores.to(wide), active).sum()
        (gradient,) = torch.autograd.grad(total, x_adv)
        return gradient, scores.detach()

    def _total(self, outputs: Scores, active: _Active) -> Float[Tensor, " n"]:
        if active.target is None:
            return self._objective(outputs, active.y, active.loss)
        own = -self._objective(outputs, active.target, active.loss, targeted=True)
        if not self.difference:
            return own
        return own + self._objective(outputs, active.y, active.loss)

    def _objective(
        self, outputs: Scores, y: Labels, loss: Loss, *, targeted: bool = False
    ) -> Float[Tensor, " n"]:
        named = named_objective(self._differentiated, outputs, y, targeted=targeted)
        return losses.NAMED[loss](outputs, y) if named is None else named

    def _with_momentum(self, active: _Active, gradient: Images) -> Images:
        if not self.decay:
            return gradient
        mean = gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        # A gradient of zero adds nothing, where dividing by its mean would add NaN.
        scaled = gradient / mean.clamp_min(torch.finfo(gradient.dtype).tiny)
        active.momentum = self.decay * active.momentum + scaled
        return active.momentum

    def _start(self, x: Images, streams: RandomStreams) -> Images:
        if self.norm == "Linf":
            noise = 2 * streams.uniform(*x.shape[1:]) - 1
        elif self.norm == "L1":
            noise = l1_noise(streams, x)
        else:
            # Uniform in the ball: the radius is distributed as the d-th root of a uniform number.
            radius = streams.uniform(1, 1, 1).pow(1 / x.shape[1:].numel())
            noise = direction(streams.normal(*x.shape[1:]), self.norm) * radius
        # The noise is float32 whatever the images are.
        return self.threat_model.project(x, x + noise.to(x.dtype) * self.eps)

    def _far_start(
        self, x: Images, y: Labels, target: Labels | None, streams: RandomStreams, rank: int
    ) -> Images:
        """Return where the ball is nearest to an image of another class, one after the other."""
        with torch.no_grad():
            ranked = ranked_classes(self.get_logits(x), y)
        aim = ranked[:, rank % ranked.shape[1]] if target is None else target

        def promise(images: Images) -> Float[Tensor, " n"]:
            scores = self.get_logits(images)
            named = named_objective(self.model, scores, aim, targeted=True)
            return lead_over(scores, aim, y) if named is None else -named

        far = far_images(x, promise, self.far_steps, streams)
        return projected(self.threat_model, self.cells, x, far)

    def _decide(self, active: _Active, scores: Scores) -> Bool[Tensor, " n"]:
        """Say on which active images the attack succeeds; ``scores`` only name candidates."""
        success = is_adversarial(scores, active.y, active.target)
        sure = self.judge is None and self.precision == "float32"
        if not sure and success.any():
            target = None if active.target is None else active.target[success]
            with torch.autocast(scores.device.type, enabled=False):
                confirmed = self._succeeds(active.x_adv[success], active.y[success], target)
            success[success.clone()] = confirmed
        return success
