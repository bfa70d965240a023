"""Auto-PGD is the attack of Croce and Hein 2020, https://arxiv.org/abs/2003.01690."""

import math
from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robust import losses
from robust.attacks.base import Attack, RandomStreams, check_choice, direction
from robust.attacks.cells import projected
from robust.attacks.gradient.climbs import Climb, DenseClimb, SparseClimb
from robust.attacks.gradient.doubled import doubled
from robust.attacks.judging import ranked_classes
from robust.attacks.views import named_objective
from robust.errors import ConfigError
from robust.losses import Loss
from robust.threat import ThreatModel
from robust.types import Images, Labels, Scores

_WIDER = ((3.0, 0.3), (2.0, 0.3))
"""In L1 the first steps are taken within so many times eps, and are such a share of all."""


@final
class APGD(Attack):
    """APGD is PGD that chooses its step sizes by how the loss of each image goes.

    An image on which it succeeds keeps that result and leaves the batch. A targeted attack uses the
    targeted ratio (Eq. 7) where the loss is ``dlr``. Losses that need more classes than there are
    fall back to differences of scores (see `robust.losses`).

    In L1 the steps are sparse (see `SparseClimb`). The first 60 % of them are taken within three
    times eps and twice eps, as in Croce and Hein 2021, https://arxiv.org/abs/2103.01208.

    Args:
        model: View to attack.
        eps: Radius in pixel units, not negative.
        steps: Gradient steps of each start; 100 in AutoAttack.
        norm: Linf, L2 or L1.
        loss: What to climb where the view names no objective.
        restarts: Random starts; an image that is misclassified after one skips the later ones.
        rank: Climb towards the other class of this rank among the clean image's scores, 0 for the
            highest. Unlike in targeted mode, an image of any other class counts as a success.
        samples: Calls of a random view whose losses, gradients and scores are averaged at every
            step; 20 in AutoAttack for random defenses (EOT).
        precision: Of the gradients, ``float32`` or ``float64``. Success is decided in the precision
            of the images.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        steps: int = 100,
        norm: Literal["Linf", "L2", "L1"] = "Linf",
        loss: Loss = "cross_entropy",
        restarts: int = 1,
        rank: int | None = None,
        samples: int = 1,
        precision: Literal["float32", "float64"] = "float32",
    ) -> None:
        super().__init__(model)
        for name, count in (("steps", steps), ("restarts", restarts), ("samples", samples)):
            if count < 1:
                raise ConfigError(f"Expected `{name}` to be at least 1, but got {count}.")
        check_choice("loss", loss, losses.NAMED)
        check_choice("precision", precision, ("float32", "float64"))
        self.precision, self._differentiated = precision, model
        check_choice("norm", norm, ("Linf", "L2", "L1"))
        self.threat_model = ThreatModel(norm, eps)
        self.norm, self.eps, self.steps = norm, eps, steps
        if rank is not None and rank < 0:
            raise ConfigError(f"Expected `rank` to be non-negative, but got {rank}.")
        self.loss, self.restarts, self.rank, self.samples = loss, restarts, rank, samples

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape; of the highest loss where none was found."""
        self._differentiated = doubled(self.model) if self.precision == "float64" else self.model
        target, streams = self._aim(images, labels), self.random_streams(images)
        x_adv = images.clone()
        left = torch.arange(len(images), device=images.device)
        for _ in range(self.restarts):
            goal = None if target is None else target[left]
            result, success = self._one_start(images[left], labels[left], goal, streams)
            x_adv[left] = result
            left, streams = left[~success], streams[~success]
            if not len(left):
                break
        return x_adv

    def _aim(self, images: Images, labels: Labels) -> Labels | None:
        if self.rank is None:
            return self.target(images, labels)
        if self.targeted:
            raise ConfigError("Expected no `rank` where there are targets, but got both. Drop one.")
        with torch.no_grad():
            others = ranked_classes(self.get_logits(images), labels)
        if self.rank >= others.shape[1]:
            raise ConfigError(
                f"Expected `rank` to be below the number of other classes, which is "
                f"{others.shape[1]}, but got {self.rank}."
            )
        return others[:, self.rank]

    def _one_start(
        self, x: Images, y: Labels, target: Labels | None, streams: RandomStreams
    ) -> tuple[Images, Bool[Tensor, " n"]]:
        start, left = self._start(x, streams), self.steps
        for factor, share in _WIDER if self.norm == "L1" else ():
            wide = ThreatModel("L1", factor * self.eps)
            steps = min(math.ceil(share * self.steps), left - 1)
            start, _ = self._climb(wide, steps, x, start, y, target)
            left -= steps
        return self._climb(self.threat_model, left, x, start, y, target)

    def _climb(
        self,
        threat_model: ThreatModel,
        steps: int,
        x: Images,
        start: Images,
        y: Labels,
        target: Labels | None,
    ) -> tuple[Images, Bool[Tensor, " n"]]:
        """Return the images after so many steps, and on which the attack succeeds."""

        def project(x: Images, x_adv: Images) -> Images:
            return projected(threat_model, self.cells, x, x_adv)

        climb: Climb = (
            SparseClimb(x, project(x, start), threat_model.eps)
            if self.norm == "L1"
            else DenseClimb(x, start, self.eps, self.norm)
        )
        result, success = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
        checkpoints = climb.checkpoints(steps)
        for step in range(steps + 1):
            goal = None if target is None else target[climb.index]
            loss, gradient, reached = self._look(climb.now, y[climb.index], goal)
            if threat_model.eps > self.eps:
                reached = torch.zeros_like(reached)
            result[climb.index[reached]] = climb.now[reached]
            success[climb.index[reached]] = True
            climb.see(loss, gradient)
            climb.keep(~reached)
            if not len(climb.index):
                return result, success
            if step in checkpoints:
                climb.checkpoint(checkpoints[step])
            if step < steps:
                climb.move(project, first=step == 0)
        result[climb.index] = climb.best
        return result, success

    def _look(
        self, x: Images, y: Labels, target: Labels | None
    ) -> tuple[Float[Tensor, " n"], Images, Bool[Tensor, " n"]]:
        seen = [self._look_once(x, y, target) for _ in range(self.samples)]
        loss, gradient, scores = (
            sum(parts[1:], parts[0]) / self.samples for parts in zip(*seen, strict=True)
        )
        if self.transferred:
            return loss, gradient, torch.zeros_like(y, dtype=torch.bool)
        goal = None if self.rank is not None else target
        if self.precision == "float64":
            return loss, gradient, self._succeeds(x.detach(), y, goal)
        return loss, gradient, self.seen_success(x.detach(), scores, y, goal)

    def _look_once(
        self, x: Images, y: Labels, target: Labels | None
    ) -> tuple[Float[Tensor, " n"], Images, Scores]:
        x = x.detach().to(torch.float64 if self.precision == "float64" else x.dtype)
        x.requires_grad_()
        scores: Scores = self._differentiated(x)
        loss = self._loss(scores, y, target)
        (gradient,) = torch.autograd.grad(loss.sum(), x)
        return loss.detach(), gradient, scores.detach()

    def _loss(self, scores: Scores, y: Labels, target: Labels | None) -> Float[Tensor, " n"]:
        label = y if target is None else target
        climbed = named_objective(self._differentiated, scores, label, targeted=target is not None)
        if climbed is None:
            if self.loss == "dlr" and target is not None:
                return losses.targeted_dlr(scores, y, target)
            climbed = losses.NAMED[self.loss](scores, label)
        return climbed if target is None else -climbed

    def _start(self, x: Images, streams: RandomStreams) -> Images:
        """Return a random point of the sphere, as in the authors' code, clipped to [0, 1].

        In L1 it is noise of deviation 1 that was projected onto the widest ball.
        """
        if self.norm == "L1":
            widest = ThreatModel("L1", _WIDER[0][0] * self.eps)
            return widest.project(x, x + streams.normal(*x.shape[1:]).to(x.dtype))
        if self.norm == "Linf":
            noise = 2 * streams.uniform(*x.shape[1:]) - 1
            noise = noise / noise.abs().amax(dim=(1, 2, 3), keepdim=True)
        else:
            noise = direction(streams.normal(*x.shape[1:]), self.norm)
        return self.threat_model.project(x, x + self.eps * noise.to(x.dtype))
