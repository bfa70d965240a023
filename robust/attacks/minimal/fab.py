"""FAB, the fast adaptive boundary attack: Croce and Hein 2020, https://arxiv.org/abs/1907.02044."""

from typing import Literal, final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.attacks.base import Attack, check_choice
from robust.attacks.judging import ranked_classes
from robust.errors import ConfigError
from robust.threat import ThreatModel, distance
from robust.types import Images, Labels, Norm

_ALPHA_MAX = 0.1
_ETA = 1.05
_BETA = 0.9
_NUDGE = 1e-3
# Of Newton's method, which ends sooner unless rounding keeps it busy.
_MOST_NEWTON_STEPS = 50


class _Walk:
    """This is the state of the images that are still robust."""

    def __init__(self, index: Int64[Tensor, " n"], x: Images, y: Labels, aim: Labels) -> None:
        self.index, self.x, self.now, self.y, self.aim = index, x, x, y, aim

    def keep(self, chosen: Bool[Tensor, " n"]) -> None:
        if not chosen.all():
            for name, value in vars(self).items():
                setattr(self, name, value[chosen])

    def step_back(self, chosen: Bool[Tensor, " n"]) -> None:
        """Take some images back towards the clean ones, so that the next step may end nearer."""
        back = self.x + _BETA * (self.now - self.x)
        self.now = torch.where(chosen.view(-1, 1, 1, 1), back, self.now)


class _Boundary(Attack):
    """Both attacks step onto a linearized boundary; the class is abstract."""

    norm: Norm

    def _aims(self, x: Images, y: Labels, targets: int) -> tuple[Bool[Tensor, " n"], list[Labels]]:
        """Return which images are misclassified as they are, and the classes to aim at in turn."""
        target = self.target(x, y)
        with torch.no_grad():
            scores = self.get_logits(x)
        aims = ranked_classes(scores, y)[:, :targets].unbind(dim=1) if target is None else [target]
        return self.seen_success(x, scores, y, target), list(aims)

    def _step(self, walk: _Walk) -> bool:
        """Move the images that have a direction, and drop the others; say whether any is left."""
        gap, slope = self._look(walk)
        # Where the view is flat or gives NaN, there is no direction.
        usable = slope.flatten(1).isfinite().all(dim=1) & slope.flatten(1).any(dim=1)
        usable &= gap.isfinite()
        walk.keep(usable)
        if len(walk.index):
            walk.now = self._moved(walk, gap[usable], slope[usable])
        return len(walk.index) > 0

    def _goal(self, walk: _Walk) -> Labels | None:
        return walk.aim if self.targeted else None

    def _look(self, walk: _Walk) -> tuple[Float[Tensor, " n"], Images]:
        """Return how far the aimed score is below the label's, and the difference's gradient."""
        x = walk.now.detach().requires_grad_()
        scores = self.get_logits(x)
        aimed = scores.gather(1, walk.aim.view(-1, 1)) - scores.gather(1, walk.y.view(-1, 1))
        (slope,) = torch.autograd.grad(aimed.sum(), x)
        return -aimed.detach().squeeze(1), slope

    def _moved(self, walk: _Walk, gap: Float[Tensor, " n"], slope: Images) -> Images:
        """Take a step from the present image, mixed with one from the clean image (Eq. 9)."""
        # On the plane itself, where the two scores tie, the step would be zero.
        nudge = _NUDGE * slope.abs().sum(dim=(1, 2, 3))
        gap = torch.where(gap == 0, nudge, gap)
        clean_gap = gap + (slope * (walk.now - walk.x)).sum(dim=(1, 2, 3))
        step, clean_step = onto_plane(
            torch.cat([walk.now, walk.x]),
            torch.cat([slope, slope]),
            torch.cat([gap, clean_gap]),
            self.norm,
        ).chunk(2)
        length, clean_length = self._length(step), self._length(clean_step)
        alpha = (length / (length + clean_length)).clamp_max(_ALPHA_MAX)
        here, there = walk.now + _ETA * step, walk.x + _ETA * clean_step
        return ((1 - alpha) * here + alpha * there).clamp(0, 1)

    def _length(self, step: Images) -> Float[Tensor, "n 1 1 1"]:
        order = 2 if self.norm == "L2" else torch.inf
        length: Tensor = torch.linalg.vector_norm(step, order, dim=(1, 2, 3), keepdim=True)
        return length.clamp_min(1e-8)


@final
class FAB(_Boundary):
    """FAB steps onto the linearized decision boundary, biased towards the clean image.

    Algorithm 1 of the paper. The boundary is that between the label and one other class. Untargeted
    these are the classes of the ``targets`` highest scores of the clean image in turn, each on the
    images that are still robust. Targeted, it is the target alone. A step projects the present and
    the clean image onto the plane where to first order both scores are equal. It goes a little
    beyond, and mixes the two. A misclassified image steps back towards the clean one, so that the
    next step may end nearer.

    The authors look for the nearest image and compare its distance with eps at the end. Here an
    image leaves as soon as it is misclassified within ``eps``. There are no random starts, as in
    AutoAttack.

    Args:
        model: View to attack.
        eps: Radius in pixel units, not negative.
        norm: Linf or L2.
        steps: Steps towards each class; 100 in AutoAttack.
        targets: Classes to aim at, as many as there are at most; 9 in AutoAttack.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        norm: Literal["Linf", "L2"] = "Linf",
        steps: int = 100,
        targets: int = 9,
    ) -> None:
        super().__init__(model)
        for name, count in (("steps", steps), ("targets", targets)):
            if count < 1:
                raise ConfigError(f"Expected `{name}` to be at least 1, but got {count}.")
        check_choice("norm", norm, ("Linf", "L2"))
        self.threat_model = ThreatModel(norm, eps)
        self.norm, self.eps, self.steps, self.targets = norm, eps, steps, targets

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape; unchanged where none was found."""
        x_adv = images.clone()
        success, aims = self._aims(images, labels, self.targets)
        left = (~success).nonzero().squeeze(1)
        for aim in aims:
            if not len(left):
                break
            walk = _Walk(left, images[left], labels[left], aim[left])
            success[self._walk(walk, x_adv)] = True
            left = (~success).nonzero().squeeze(1)
        return x_adv

    def _walk(self, walk: _Walk, result: Images) -> Int64[Tensor, " m"]:
        """Move the images; write each success within eps into ``result``, and say which were."""
        found = [walk.index[:0]]
        for _ in range(self.steps):
            if not self._step(walk):
                break
            success = self._succeeds(walk.now, walk.y, self._goal(walk))
            alike = self.nearest_alike(walk.x, walk.now)
            near = self.threat_model.distance(walk.x, alike) <= self.threat_model.limit
            result[walk.index[success & near]] = walk.now[success & near]
            found.append(walk.index[success & near])
            walk.step_back(success)
            walk.keep(~(success & near))
            if not len(walk.index):
                break
        return torch.cat(found)


@final
class MinimalFAB(_Boundary):
    """MinimalFAB is FAB as its paper has it: it looks for the nearest adversarial image.

    It takes all steps towards each class and keeps the nearest image of any class but the label's.
    At the end it halves the last stretch to the boundary. One run gives the robust accuracy at
    every eps.

    Args:
        model: View to attack.
        norm: Linf or L2.
        steps: Steps towards each class; 100 in the paper.
        targets: Classes to aim at, as many as there are at most.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        norm: Literal["Linf", "L2"] = "L2",
        steps: int = 100,
        targets: int = 9,
    ) -> None:
        super().__init__(model)
        for name, count in (("steps", steps), ("targets", targets)):
            if count < 1:
                raise ConfigError(f"Expected `{name}` to be at least 1, but got {count}.")
        check_choice("norm", norm, ("Linf", "L2"))
        self.norm, self.steps, self.targets = norm, steps, targets

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return the nearest adversarial images; clean ones where none was found."""
        x_adv = images.clone()
        done, aims = self._aims(images, labels, self.targets)
        least = torch.full(labels.shape, torch.inf, dtype=torch.float64, device=images.device)
        rows = (~done).nonzero().squeeze(1)
        for aim in aims:
            walk = _Walk(rows, images[rows], labels[rows], aim[rows])
            for _ in range(self.steps):
                if not self._step(walk):
                    break
                success = self._succeeds(walk.now, walk.y, self._goal(walk))
                lengths = distance(walk.x, self.nearest_alike(walk.x, walk.now), self.norm)
                nearer = success & (lengths < least[walk.index])
                least[walk.index[nearer]] = lengths[nearer]
                x_adv[walk.index[nearer]] = walk.now[nearer]
                walk.step_back(success)
        found, target = least.isfinite(), self.target(images, labels)
        if found.any():
            goal = None if target is None else target[found]
            x_adv[found] = self.halved(images[found], x_adv[found], labels[found], goal)
        return x_adv


def onto_plane(x: Images, slope: Images, gap: Float[Tensor, " n"], norm: Norm) -> Images:
    """Return the shortest step along which each linear function rises by ``gap``, in [0, 1].

    A value moves by ``min(rate * s, room)``, where its rate is 1 in Linf and its slope in L2, and
    its room ends at 0 or 1. What the function gains is a concave, piecewise linear function of s,
    which Newton's method solves exactly and from below. Where the box does not let it rise so far,
    the step goes to the corner of the box where it is largest.

    Args:
        x: Images in [0, 1].
        slope: Gradients of the functions.
        gap: What to gain, of either sign.
        norm: Linf or L2.
    """
    up = (slope > 0) == (gap > 0).view(-1, 1, 1, 1)
    room = torch.where(up, 1 - x, x).flatten(1)
    weight = slope.flatten(1).abs()
    room = torch.where(weight > 0, room, 0)
    # In units of the largest, so that squares neither overflow nor vanish.
    largest = weight.amax(dim=1, keepdim=True)
    weight, wanted = weight / largest, gap.abs().view(-1, 1) / largest
    rate = weight if norm == "L2" else torch.ones_like(weight)
    step, slack = torch.zeros_like(wanted), 4 * torch.finfo(x.dtype).eps * wanted
    for _ in range(_MOST_NEWTON_STEPS):
        moved = torch.minimum(rate * step, room)
        lack = wanted - (weight * moved).sum(dim=1, keepdim=True)
        free = (weight * rate * (moved < room)).sum(dim=1, keepdim=True)
        # Where nothing is free, the box is full.
        rises = (lack > slack) & (free > 0)
        if not rises.any():
            break
        step = torch.where(rises, step + lack / free, step)
    moved = torch.minimum(rate * step, room).view_as(x)
    return torch.where(up, moved, -moved)
