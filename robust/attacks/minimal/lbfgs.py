"""The box-constrained L-BFGS attack weighs the loss of an image against its distance.

Szegedy et al. 2014, https://arxiv.org/abs/1312.6199, section 4.1.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.attacks.base import Attack
from robust.attacks.judging import confirmed, is_adversarial, mask_class
from robust.attacks.views import named_objective
from robust.errors import ConfigError
from robust.types import Images, Labels, Scores

Points = Float[Tensor, "n d"]
Values = Float[Tensor, " n"]
Objective = Callable[[Points, Int64[Tensor, " n"]], tuple[Values, Points]]
"""It gives values and gradients at points; the second argument says of which images."""

# Armijo's share of the decrease that the gradient promises; Nocedal and Wright 2006, section 3.1.
_SUFFICIENT = 1e-4
# An optimization has converged when a step lowers its value by no more than this share of it. The
# passes that a smaller share would need are better spent in the search for c. Or ...
_SETTLED = 1e-4
# ... when it moves no pixel by more than this; half a grey level is 2000 times as much.
_STILL = 1e-6
# Least cosine of the angle between a step and its change of gradient for the pair to be used.
_CURVED = 1e-6


@final
class LBFGS(Attack):
    """LBFGS minimizes ``|x' - x|_2^2 + c * loss(x')`` in the box, with a search for ``c``.

    The loss is the target's: the view's own objective if it names one, else cross-entropy. The
    paper defines no untargeted attack. Ours climbs the view's objective of the label if there is
    one. Else it lowers the cross-entropy of all other classes taken as one, ``-log(1 - p_y)``. That
    is bounded and convex in the scores, unlike the label's cross-entropy climbed. So the result
    moves with ``c`` instead of jumping past the boundary.

    The search for ``c`` is cleverhans': times 10 until the minimum is adversarial, then halfway
    between the largest that was too small and the smallest that was not. Every minimization starts
    at the image. The nearest adversarial image among all that were tried is returned. The image
    itself is returned if there was none, or if it was misclassified from the start. The distance is
    L2, and there is no ``eps``.

    The optimizer is our own, `minimize`, which runs one problem an image, all in one batch. With
    SciPy's L-BFGS-B a batch would be a loop of single forward passes. Or it would be one problem,
    whose line search and curvature make each image's result depend on the others.

    Args:
        model: View to attack.
        c: First weight of the loss, positive; Saito and Roy 2018 sweep 0.01 to 10.
        search_steps: Values of ``c`` tried for each image; Saito and Roy 2018 try 5.
        steps: Forward and backward passes for each value of ``c``, at most. An image that has
            converged leaves before.
        memory: Curvature pairs that the optimizer remembers for each image.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        c: float = 0.01,
        search_steps: int = 9,
        steps: int = 200,
        memory: int = 5,
    ) -> None:
        super().__init__(model)
        if not 0 < c < float("inf"):
            raise ConfigError(
                f"Expected `c` to be positive, but got {c}. Start small, such as 0.01: the search "
                "raises it where it must."
            )
        for name, count in (("search_steps", search_steps), ("steps", steps), ("memory", memory)):
            if count < 1:
                raise ConfigError(f"Expected `{name}` to be at least 1, but got {count}.")
        self.c, self.search_steps, self.steps, self.memory = c, search_steps, steps, memory

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape."""
        if not len(images):
            return images.clone()
        target = self.target(images, labels)
        best = images.clone()
        with torch.no_grad():
            correct = ~is_adversarial(self.get_logits(images), labels, target)
        best[correct] = self._search(
            images[correct], labels[correct], None if target is None else target[correct]
        )
        return confirmed(self.get_logits, images, best, labels, target)

    def _search(self, x: Images, y: Labels, target: Labels | None) -> Images:
        """Return the nearest adversarial images found; an image itself where none was."""
        if not len(x):
            return x
        task = _Task(self.get_logits, self._loss, x, y, target)
        c = x.new_full((len(x),), self.c)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        for _ in range(self.search_steps):
            minimum = minimize(task.weighted(c), x.flatten(1), self.steps, self.memory)
            success = task.succeeds(minimum)
            low, high = torch.where(success, low, c), torch.where(success, c, high)
            c = torch.where(high.isinf(), 10 * c, (low + high) / 2)
        return task.nearest

    def _loss(self, scores: Scores, y: Labels, target: Labels | None) -> Values:
        """Return what the attacker lowers, of each image."""
        label = y if target is None else target
        named = named_objective(self.model, scores, label, targeted=target is not None)
        if named is not None:
            return -named if target is None else named
        if target is not None:
            return F.cross_entropy(scores, target, reduction="none")
        return scores.logsumexp(dim=1) - mask_class(scores, y).logsumexp(dim=1)


class _Task:
    """This has the objective of each image, and keeps the nearest adversarial image seen."""

    def __init__(
        self,
        scores: Callable[[Images], Scores],
        loss: Callable[[Scores, Labels, Labels | None], Values],
        x: Images,
        y: Labels,
        target: Labels | None,
    ) -> None:
        self._scores, self._loss = scores, loss
        self._x, self._y, self._target = x, y, target
        self._distance = x.new_full((len(x),), torch.inf)
        self.nearest = x.clone()

    def weighted(self, c: Values) -> Objective:
        """Return the function ``|x' - x|_2^2 + c * loss(x')``, which also gives its gradient."""

        def objective(points: Points, index: Int64[Tensor, " n"]) -> tuple[Values, Points]:
            clean, y = self._x[index], self._y[index]
            target = None if self._target is None else self._target[index]
            x_adv = points.view_as(clean).requires_grad_()
            scores = self._scores(x_adv)
            loss = self._loss(scores, y, target)
            offset = (x_adv.detach() - clean).flatten(1)
            distance = offset.square().sum(dim=1)
            self._keep(points, index, distance, is_adversarial(scores, y, target))
            gradient = 2 * offset + c[index, None] * _gradient(loss, x_adv).flatten(1)
            return distance + c[index] * loss.detach(), gradient

        return objective

    @torch.no_grad()
    def succeeds(self, points: Points) -> Bool[Tensor, " n"]:
        """Say whether the points are adversarial, one for each image."""
        return is_adversarial(self._scores(points.view_as(self._x)), self._y, self._target)

    def _keep(
        self, points: Points, index: Tensor, distance: Values, success: Bool[Tensor, " n"]
    ) -> None:
        nearer = success & (distance < self._distance[index])
        self._distance[index[nearer]] = distance[nearer]
        self.nearest[index[nearer]] = points[nearer].view_as(self.nearest[index[nearer]])


@dataclass
class _Run:
    """These are the minimizations that go on; each field has one row for each of them."""

    index: Int64[Tensor, " n"]
    """The index of the image whose problem it is."""
    x: Points
    value: Values
    gradient: Points
    direction: Points
    step: Values
    """The share of the direction to try next."""
    moves: Float[Tensor, "n m d"]
    turns: Float[Tensor, "n m d"]
    """The changes of ``x`` and of the gradient over the last steps, in a ring."""
    pairs: Int64[Tensor, " n"]
    """How many pairs were put in the ring."""

    def keep(self, chosen: Bool[Tensor, " n"]) -> None:
        """Forget the others."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[chosen])

    def remember(self, chosen: Bool[Tensor, " n"], move: Points, turn: Points) -> None:
        """Put a pair in the ring of each chosen one, if it shows positive curvature."""
        lengths = (move.square().sum(dim=1) * turn.square().sum(dim=1)).sqrt()
        rows = (chosen & ((move * turn).sum(dim=1) > _CURVED * lengths)).nonzero()[:, 0]
        slot = self.pairs[rows] % self.moves.shape[1]
        self.moves[rows, slot], self.turns[rows, slot] = move[rows], turn[rows]
        self.pairs[rows] += 1


def minimize(objective: Objective, start: Points, steps: int, memory: int) -> Points:
    """Return a minimum in [0, 1]^d of each of n functions, by projected L-BFGS.

    Pixels that are at a bound and would leave the box are fixed. In the others the direction is
    that of L-BFGS, with the curvature pairs reduced to them (two loops, Nocedal and Wright 2006,
    algorithm 7.4). Its path is clipped to the box: the two-metric projection of Bertsekas 1982
    (https://doi.org/10.1137/0320018). A step is shortened until the value falls enough. The
    functions share only the calls of ``objective``: while one shortens its step, another goes on.

    Args:
        objective: Values and gradients of some of the functions.
        start: Where each function starts.
        steps: Calls of ``objective``, at most.
        memory: Curvature pairs kept for each function.
    """
    minimum = start.clone()
    index = torch.arange(len(start), device=start.device)
    value, gradient = objective(start, index)
    ring = start.new_zeros(len(start), memory, start.shape[1])
    none, one = torch.zeros_like(index), torch.ones_like(value)
    run = _Run(index, start, value, gradient, start, one, ring, ring.clone(), none)
    run.direction = _direction(run)
    for _ in range(steps - 1):
        finished = _advance(run, objective)
        minimum[run.index] = run.x
        if finished.any():
            run.keep(~finished)
        if not len(run.index):
            break
    return minimum


def _advance(run: _Run, objective: Objective) -> Bool[Tensor, " n"]:
    """Try a step of each, and say whether it has converged."""
    x_new = (run.x + run.step[:, None] * run.direction).clamp(0, 1)
    move = x_new - run.x
    slope = (run.gradient * move).sum(dim=1)
    value, gradient = objective(x_new, run.index)
    fall = run.value - value
    accepted = (fall > 0) & (fall >= -_SUFFICIENT * slope)
    # A parabola through the value, the slope and the new value has its minimum here.
    shorter = (-slope / (2 * (-fall - slope))).nan_to_num(0.1).clamp(0.1, 0.5)
    still = move.abs().amax(dim=1) <= _STILL
    settled = accepted & (fall <= _SETTLED * run.value.abs())
    # Curvature may mislead: without it the direction is the gradient's, which cannot.
    restarted = ~accepted & still & (run.pairs > 0)
    finished = settled | (~accepted & still & (run.pairs == 0))

    run.remember(accepted, move, gradient - run.gradient)
    run.pairs = run.pairs.masked_fill(restarted, 0)
    run.x = torch.where(accepted[:, None], x_new, run.x)
    run.value = torch.where(accepted, value, run.value)
    run.gradient = torch.where(accepted[:, None], gradient, run.gradient)
    renewed = accepted | restarted
    run.direction = torch.where(renewed[:, None], _direction(run), run.direction)
    run.step = torch.where(renewed, 1, run.step * shorter)
    return finished


def _direction(run: _Run) -> Points:
    """Return minus the inverse Hessian of the ring times the gradient; 0 for fixed pixels."""
    fixed = ((run.x <= 0) & (run.gradient > 0)) | ((run.x >= 1) & (run.gradient < 0))
    result = run.gradient.masked_fill(fixed, 0)
    # Without curvature: half the gradient, which is the squared distance's own step, or length 1.
    scale = result.square().sum(dim=1).rsqrt().clamp_max(0.5)
    size = run.moves.shape[1]
    ages = torch.arange(min(size, int(run.pairs.max())), device=run.x.device)
    slot = (run.pairs[:, None] - 1 - ages) % size
    rows = torch.arange(len(run.x), device=run.x.device)[:, None]
    moves = run.moves[rows, slot].masked_fill(fixed[:, None], 0)
    turns = run.turns[rows, slot].masked_fill(fixed[:, None], 0)
    product, size_of_turns = (moves * turns).sum(dim=2), turns.square().sum(dim=2)
    least = _CURVED * (moves.square().sum(dim=2) * size_of_turns).sqrt()
    used = (ages < run.pairs[:, None]) & (product > least)
    inverse = torch.where(used, product.reciprocal(), 0)
    shares = []
    for age in range(len(ages)):
        shares.append(inverse[:, age] * (moves[:, age] * result).sum(dim=1))
        result = result - shares[age][:, None] * turns[:, age]
    if len(ages):
        newest = used.to(torch.int8).argmax(dim=1, keepdim=True)
        known = (product / size_of_turns).gather(1, newest)[:, 0]
        scale = torch.where(used.any(dim=1), known, scale)
    result = result * scale[:, None]
    for age in reversed(range(len(ages))):
        share = shares[age] - inverse[:, age] * (turns[:, age] * result).sum(dim=1)
        result = result + share[:, None] * moves[:, age]
    return -result


def _gradient(loss: Values, x: Images) -> Images:
    """Return the gradient of each loss by its image; zero where there is none or it is NaN."""
    if not loss.requires_grad:
        return torch.zeros_like(x).detach()
    (gradient,) = torch.autograd.grad(loss.sum(), x, allow_unused=True, materialize_grads=True)
    return gradient.nan_to_num(0, 0, 0)
