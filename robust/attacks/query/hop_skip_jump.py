"""HopSkipJump estimates gradient steps along the decision boundary from decisions alone.

Chen et al. 2020, https://arxiv.org/abs/1904.02144.
"""

import math
from dataclasses import dataclass, fields
from typing import Literal, final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.attacks.base import RandomStreams, check_choice
from robust.attacks.query.base import QueryAttack
from robust.errors import ConfigError, check_at_least
from robust.threat import distance
from robust.types import Images, Labels

_MAX_HALVINGS = 20
_FIRST_RADIUS = 0.1


@final
class HopSkipJump(QueryAttack):
    """HopSkipJump looks for the smallest perturbation in L2 or Linf by decisions alone.

    Algorithm 2 of the paper. Iteration t starts from a point on the boundary. It estimates the
    direction in which images become misclassified from ``initial_evaluations * sqrt(t)`` decisions
    at random points around it (Eq. 16). It jumps that way by the distance over sqrt(t), halved
    until the image is misclassified. It returns to the boundary by bisection on the way to the
    clean image. The closest point met is the result; the authors' code returns the last.

    Args:
        model: View to attack.
        norm: Distance to minimize: L2, or Linf, where jumps go along the sign of the direction.
        iterations: Most iterations of an image.
        max_evaluations: Most decisions for one direction.
        initial_evaluations: Decisions for the first direction.
        gamma: Scale of the precision. Let d be the number of values in an image. Bisection ends at
            ``gamma / d**1.5`` (L2) or ``gamma / d**2`` (Linf) of the distance, but not below what
            the images' type resolves. Random points are ``gamma / d`` distances away.
        queries: Most forward passes for an image; one that could exceed it begins no iteration.
        starts: Random images to try; twice as many in the worst case.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        norm: Literal["L2", "Linf"] = "L2",
        iterations: int = 64,
        max_evaluations: int = 10_000,
        initial_evaluations: int = 100,
        gamma: float = 1.0,
        queries: int = 25_000,
        starts: int = 100,
    ) -> None:
        super().__init__(model)
        check_choice("norm", norm, ("L2", "Linf"))
        counts = {"iterations": iterations, "initial_evaluations": initial_evaluations}
        for name, count in (counts | {"starts": starts}).items():
            check_at_least(name, count, 1)
        check_at_least("max_evaluations", max_evaluations, initial_evaluations)
        if not gamma > 0:
            raise ConfigError(f"Expected `gamma` to be positive, but got {gamma}.")
        # To start, return to the boundary, and settle.
        check_at_least("queries", queries, 2 * starts + 60)
        self.norm, self.iterations, self.gamma = norm, iterations, gamma
        self.max_evaluations, self.initial_evaluations = max_evaluations, initial_evaluations
        self.queries, self.starts = queries, starts

    def search(self, x: Images, goals: Labels, streams: RandomStreams) -> Images:
        """Return the closest successes that were met; clean images where there was no start."""
        best = x.clone()
        start, started_at = self.start(x, goals, streams, self.starts)
        index = (started_at >= 0).nonzero().flatten()
        if not len(index):
            return best
        points = self._bisect(x[index], start[index], goals[index])
        # Of the clean image, of the random ones, and of the bisection.
        spent = started_at[index] + 2 + self._bisections(x)
        found = distance(x[index], points, self.norm)
        jumps = _Jumps(
            index, x[index], points, points, goals[index], streams[index], found, found, spent
        )
        for t in range(1, self.iterations + 1):
            evaluations = min(int(self.initial_evaluations * t**0.5), self.max_evaluations)
            most = evaluations + _MAX_HALVINGS + self._bisections(x) + 1
            going = jumps.spent + most <= self.queries
            best[jumps.index] = jumps.best
            jumps = _chosen(jumps, going)
            if not len(jumps.index):
                break
            self._iterate(jumps, t, evaluations)
        best[jumps.index] = jumps.best
        best[index] = self.settle(x[index], best[index], goals[index])
        return best

    def _iterate(self, jumps: "_Jumps", t: int, evaluations: int) -> None:
        size = jumps.x[0].numel()
        radius = self.gamma * jumps.distance / size
        if t == 1:
            radius = torch.full_like(radius, _FIRST_RADIUS)
        direction = self._direction(jumps, evaluations, _column(radius, jumps.x.dtype))
        landed, moved = self._jump(jumps, direction, jumps.distance / t**0.5)
        rows = moved.nonzero().flatten()
        points = self._bisect(jumps.x[rows], landed[rows], jumps.goals[rows])
        jumps.point = jumps.point.index_copy(0, rows, points)
        jumps.distance = distance(jumps.x, jumps.point, self.norm)
        closer = jumps.distance < jumps.closest
        jumps.best = torch.where(closer.view(-1, 1, 1, 1), jumps.point, jumps.best)
        jumps.closest = torch.where(closer, jumps.distance, jumps.closest)
        jumps.spent = jumps.spent + evaluations + self._bisections(jumps.x) * moved

    def _direction(
        self, jumps: "_Jumps", evaluations: int, radius: Float[Tensor, "n 1 1 1"]
    ) -> Images:
        """Return where images become misclassified, of length one in L2, or its sign for Linf.

        It is the sum of all decisions +-1 less their mean, times where each was asked (Eq. 16).
        """
        weighted, total = torch.zeros_like(jumps.x), torch.zeros_like(jumps.x)
        votes_for = torch.zeros_like(jumps.closest)
        point, radius = jumps.point.unsqueeze(1), radius.unsqueeze(1)
        asked = 0
        while asked < evaluations:
            group = min(evaluations - asked, max(1, self.chunk // len(jumps.x)))
            around = point + radius * self._random_directions(jumps.streams, group, jumps.x)
            around = around.clamp(0, 1)
            goals = jumps.goals.repeat_interleave(group)
            success = self.succeeds(around.flatten(0, 1), goals).view(-1, group)
            votes = torch.where(success, 1.0, -1.0).to(point.dtype)
            # What clipping has left of the random direction.
            moved = (around - point) / radius
            weighted += torch.einsum("ng,ngchw->nchw", votes, moved)
            total += moved.sum(dim=1)
            votes_for += votes.sum(dim=1)
            asked += group
        mean = votes_for / evaluations
        # Votes that all agree still say something.
        mean = torch.where(mean.abs() == 1, 0.0, mean)
        direction = weighted - _column(mean, total.dtype) * total
        return direction.sign() if self.norm == "Linf" else _unit(direction)

    def _random_directions(
        self, streams: RandomStreams, count: int, x: Images
    ) -> Float[Tensor, "n count c h w"]:
        """Return directions of length one in L2, the same for any ``count`` at a time."""
        size = x[0].numel()
        if self.norm == "Linf":
            random = 2 * streams.uniform(count, size) - 1
        else:
            random = streams.normal(count, size)
        return _unit(random.to(x.dtype).view(-1, *x.shape[1:])).view(-1, count, *x.shape[1:])

    def _jump(
        self, jumps: "_Jumps", direction: Images, length: Float[Tensor, " n"]
    ) -> tuple[Images, Bool[Tensor, " n"]]:
        """Return misclassified images along the direction, and which have one."""
        landed = jumps.point.clone()
        remaining = torch.arange(len(landed), device=landed.device)
        moved = torch.zeros_like(remaining, dtype=torch.bool)
        for halvings in range(_MAX_HALVINGS):
            step = _column(length[remaining] * 0.5**halvings, landed.dtype) * direction[remaining]
            proposals = (jumps.point[remaining] + step).clamp(0, 1)
            success = self.succeeds(proposals, jumps.goals[remaining])
            jumps.spent[remaining] += 1
            landed[remaining[success]] = proposals[success]
            moved[remaining[success]] = True
            remaining = remaining[~success]
            if not len(remaining):
                break
        return landed, moved

    def _bisect(self, x: Images, point: Images, goals: Labels) -> Images:
        """Return misclassified images next to the boundary on the way from ``x`` to such ones."""
        reach = distance(x, point, "Linf")
        nearest, low, high = point, torch.zeros_like(reach), torch.ones_like(reach)
        for _ in range(self._bisections(x)):
            middle = (low + high) / 2
            if self.norm == "Linf":
                bound = _column(middle * reach, x.dtype)
                candidates = x + (point - x).clamp(-bound, bound)
            else:
                candidates = torch.lerp(x, point, _column(middle, x.dtype))
            candidates = candidates.clamp(0, 1)
            success = self.succeeds(candidates, goals)
            nearest = torch.where(success.view(-1, 1, 1, 1), candidates, nearest)
            low, high = torch.where(success, low, middle), torch.where(success, middle, high)
        return nearest

    def _bisections(self, x: Images) -> int:
        """Return how often to halve the interval until it is as short as the paper's threshold."""
        threshold = self.gamma / x[0].numel() ** (2.0 if self.norm == "Linf" else 1.5)
        threshold = max(threshold, 8 * torch.finfo(x.dtype).eps)
        return max(1, math.ceil(-math.log2(threshold)))


@dataclass
class _Jumps:
    """These are the images still jumping and all that belongs to each."""

    index: Int64[Tensor, " n"]
    x: Images
    point: Images
    """The latest image on the boundary."""
    best: Images
    goals: Labels
    streams: RandomStreams
    distance: Float[Tensor, " n"]
    closest: Float[Tensor, " n"]
    """The distances of ``point`` and ``best``."""
    spent: Int64[Tensor, " n"]


def _chosen(jumps: _Jumps, chosen: Bool[Tensor, " n"]) -> _Jumps:
    return _Jumps(*(getattr(jumps, field.name)[chosen] for field in fields(jumps)))


def _column(values: Float[Tensor, " n"], dtype: torch.dtype) -> Float[Tensor, "n 1 1 1"]:
    return values.to(dtype).view(-1, 1, 1, 1)


def _unit(x: Images) -> Images:
    norms = x.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
    return x / norms.clamp_min(torch.finfo(x.dtype).tiny)
