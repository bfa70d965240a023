"""APGD goes from image to image in one way for Linf and L2, and in another for L1."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robust.attacks.base import direction
from robust.attacks.gradient.sparse import sparse_direction
from robust.types import Images, Norm

_MOMENTUM = 0.75
_RHO = 0.75
"""The share of the steps of a window that must raise the loss, or the step is halved."""
_FEWER = 1.5
"""In L1 a step changes so many times fewer values than the best image so far has changed."""
_SLOWER, _SLOWEST = 1.5, 10.0
_SPARSER = 0.95

Project = Callable[[Images, Images], Images]
"""It takes images, given with the clean ones first, back into the threat model."""


class Climb(ABC):
    """This is the state of the images that are still robust (section 3, Algorithm 1)."""

    def __init__(self, x: Images, start: Images, first_step: float) -> None:
        n = len(x)
        self.index = torch.arange(n, device=x.device)
        self.x, self.now, self.best = x, start, start
        self.gradient = self.best_gradient = torch.zeros_like(x)
        lowest = torch.full((n,), -torch.inf, dtype=x.dtype, device=x.device)
        self.best_loss = self.loss = lowest
        self.step = torch.full((n,), first_step, dtype=x.dtype, device=x.device)
        self.rises = torch.zeros(n, device=x.device)

    @staticmethod
    @abstractmethod
    def checkpoints(steps: int) -> dict[int, int]:
        """Return at which of so many steps to look back, and how far."""

    @abstractmethod
    def move(self, project: Project, *, first: bool) -> None:
        """Take a projected step."""

    @abstractmethod
    def checkpoint(self, window: int) -> None:
        """Change the steps that no longer pay, and go back to the best images from there."""

    def keep(self, chosen: Bool[Tensor, " n"]) -> None:
        """Go on with some of the images."""
        if not chosen.all():
            for name, value in vars(self).items():
                if isinstance(value, Tensor):
                    setattr(self, name, value[chosen])

    def see(self, loss: Float[Tensor, " n"], gradient: Images) -> None:
        """Take note of the loss and gradient at the present images."""
        self.rises = self.rises + ((loss > self.loss) & self.loss.isfinite())
        self.loss, self.gradient = loss, gradient
        better = loss > self.best_loss
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best = _choose(better, self.now, self.best)
        self.best_gradient = _choose(better, gradient, self.best_gradient)

    def _go_back(self, chosen: Bool[Tensor, " n"]) -> None:
        self.now = _choose(chosen, self.best, self.now)
        self.gradient = _choose(chosen, self.best_gradient, self.gradient)


@final
class DenseClimb(Climb):
    """In Linf and L2 all values change, with momentum, and the step is halved where it must be.

    Args:
        x: Clean images.
        start: Where to start.
        eps: Radius.
        norm: Linf or L2.
    """

    def __init__(self, x: Images, start: Images, eps: float, norm: Norm) -> None:
        super().__init__(x, start, 2 * eps)
        self.norm = norm
        self.before, self.best_at_checkpoint = start, self.best_loss
        self.halved = torch.ones(len(x), dtype=torch.bool, device=x.device)

    @staticmethod
    def checkpoints(steps: int) -> dict[int, int]:
        """Return at which steps to look back, and how far: 22 %, each 3 % less, at least 6 %."""
        window, shortest, shrink = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
        checkpoints, step = {}, window
        while step <= steps:
            checkpoints[step] = window
            window = max(window - shrink, shortest)
            step += window
        return checkpoints

    def move(self, project: Project, *, first: bool) -> None:
        """Take a projected step, with momentum after the first (Eq. 1 and 2)."""
        step = self.step.view(-1, 1, 1, 1) * direction(self.gradient, self.norm).to(self.x.dtype)
        moved = project(self.x, self.now + step)
        if not first:
            momentum = _MOMENTUM * (moved - self.now)
            drift = (1 - _MOMENTUM) * (self.now - self.before)
            moved = project(self.x, self.now + momentum + drift)
        self.before, self.now = self.now, moved

    def checkpoint(self, window: int) -> None:
        """Halve the steps that no longer pay, and go back to the best images from there."""
        stuck = self.rises <= _RHO * window
        stuck |= ~self.halved & (self.best_at_checkpoint >= self.best_loss)
        self.halved, self.best_at_checkpoint = stuck, self.best_loss
        self.rises = torch.zeros_like(self.rises)
        self.step = torch.where(stuck, self.step / 2, self.step)
        self._go_back(stuck)


@final
class SparseClimb(Climb):
    """In L1 few values change at a step: Croce and Hein 2021, https://arxiv.org/abs/2103.01208.

    Those are the values of the largest slopes (section 3.1). How many follows from how many the
    best image has changed. The fewer these become, the longer the step is.

    Args:
        x: Clean images.
        start: Where to start.
        eps: Radius.
    """

    def __init__(self, x: Images, start: Images, eps: float) -> None:
        super().__init__(x, start, eps)
        self.longest = self.step
        self.changed = self._changed(start)
        self.share = self.changed / x[0].numel() / _FEWER if len(x) else self.changed

    @staticmethod
    def checkpoints(steps: int) -> dict[int, int]:
        """Return at which steps to look back, and how far: 4 % of the steps."""
        window = max(int(0.04 * steps), 1)
        return dict.fromkeys(range(window, steps + 1, window), window)

    def move(self, project: Project, *, first: bool) -> None:
        """Take a projected step along the signs of the largest slopes, without momentum."""
        unit = sparse_direction(self.gradient, self.share).to(self.x.dtype)
        self.now = project(self.x, self.now + self.step.view(-1, 1, 1, 1) * unit)

    def checkpoint(self, window: int) -> None:
        """Adapt how many values change, and start again from the best images that are sparser."""
        changed = self._changed(self.best)
        sparser = changed < _SPARSER * self.changed
        self.changed, self.share = changed, changed / self.x[0].numel() / _FEWER
        slower = torch.maximum(self.step / _SLOWER, self.longest / _SLOWEST)
        self.step = torch.where(sparser, self.longest, slower)
        self._go_back(sparser)

    def _changed(self, images: Images) -> Float[Tensor, " n"]:
        """Return the number of values that are not those of the clean images."""
        return (images != self.x).flatten(1).sum(dim=1).to(self.x.dtype)


def _choose(chosen: Bool[Tensor, " n"], yes: Images, no: Images) -> Images:
    return torch.where(chosen.view(-1, 1, 1, 1), yes, no)
