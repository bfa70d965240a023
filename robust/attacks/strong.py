"""Strong is to leave what AutoAttack leaves, for a fraction of its cost.

It takes up ideas of three papers. It drops images that promise nothing, and some of its starts
follow the scores, as in A3 (Liu et al. 2022, https://arxiv.org/abs/2203.05154). Such starts are
those of Tashiro et al. 2020 (https://arxiv.org/abs/2003.06878). Gowal et al. 2019 climb towards
several classes (https://arxiv.org/abs/1910.09338). Others of its starts come from beyond the ball.
"""

from typing import Literal, NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust import losses
from robust.attacks.base import Attack, RandomStreams, check_choice, direction
from robust.attacks.cells import projected
from robust.attacks.gradient.far import far_images
from robust.attacks.query.square import Square
from robust.attacks.views import named_objective
from robust.errors import ConfigError, check_at_least
from robust.losses import Loss
from robust.threat import ThreatModel
from robust.types import Images, Labels, Scores


class _Round(NamedTuple):
    """Every image that is left is attacked so, from several starts at once."""

    steps: int
    loss: Loss | None = None
    """What to climb; without one it is the difference of a class and the label."""
    ranks: tuple[int, int] = (0, 1)
    """Those classes in the order of what they promise. Each has a start of its own."""
    scattered: int = 0
    """Steps along random weights of the scores, which take starts apart."""
    far: int = 0
    """Steps towards each start's class beyond the ball, from which it is brought back into it."""


class _Stage(NamedTuple):
    """Rounds come one after the other, and then images are dropped."""

    rounds: tuple[_Round, ...]
    patience: float
    """Share of the attack's."""


_STAGES = (
    _Stage((_Round(10, "margin"), _Round(10, "log_odds"), _Round(10, None, (0, 3), 2)), 1.0),
    _Stage((_Round(17, None, (0, 3), far=10), _Round(10, None, (3, 9))), 0.25),
    _Stage((_Round(50, "log_odds", (0, 2)), _Round(100, "margin", (0, 2))), torch.inf),
)
_STREAMS = 64
"""So many random streams of an image belong to one round, one to each start."""
_LEAST_ROWS = 128
"""So many starts share a pass at most, or as many as the batch has images."""
_STRIDE = 4
"""Steps are so much longer in L2 where only values that cross a threshold use up eps."""
_UNMOVED = 0.02
"""A gradient that closes a smaller share of the gap was not followed, only met."""


class _Known:
    """This is what is known of the images of a batch."""

    def __init__(
        self,
        x: Images,
        y: Labels,
        scores: Scores,
        seeds: Int64[Tensor, " n"],
        found: Bool[Tensor, " n"],
    ) -> None:
        self.x, self.y, self.seeds, self.result = x, y, seeds, x.clone()
        self.open = ~found
        self.promise = _gaps(scores, y)
        """The most that any pass had of each class's score less the label's."""
        self.clean = self.promise.amax(dim=1)
        self.best, self.by_chance = self.clean, self.clean
        """The smallest gap of all passes, and of those without a gradient before."""

    @property
    def left(self) -> Int64[Tensor, " m"]:
        return self.open.nonzero().squeeze(1)

    def see(self, rows: Int64[Tensor, " m"], x: Images, gaps: Scores, *, chance: bool) -> None:
        """Take note of a pass; several of its images may be of one row."""
        self.promise.scatter_reduce_(0, rows.view(-1, 1).expand_as(gaps), gaps, "amax")
        gap, before = gaps.amax(dim=1), self.best
        self.best = before.scatter_reduce(0, rows, gap, "amax")
        if chance:
            self.by_chance = self.by_chance.scatter_reduce(0, rows, gap, "amax")
        better = (gap > before[rows]) & (gap == self.best[rows])
        self.result[rows[better]] = x[better]

    def find(self, rows: Int64[Tensor, " m"], x: Images) -> None:
        """Keep images on which the attack succeeds."""
        self.result[rows], self.open[rows] = x, False

    def hopeless(self, patience: float) -> Bool[Tensor, " n"]:
        """Say for which images more is lacking than so many times what gradients gained."""
        return self.open & (-self.best > patience * (self.best - self.by_chance))

    def unmoved(self) -> Bool[Tensor, " n"]:
        """Say for which images gradients gained next to nothing, or less than chance."""
        gained, chance = self.best - self.by_chance, self.by_chance - self.clean
        return gained <= torch.maximum(chance, -_UNMOVED * self.clean)


class _Climb:
    """These are the starts of a round that are still moved."""

    def __init__(
        self, rows: Int64[Tensor, " m"], aims: Labels, now: Images, weights: Scores
    ) -> None:
        self.rows, self.aims, self.now, self.weights = rows, aims, now, weights

    def keep(self, chosen: Bool[Tensor, " m"]) -> None:
        if not chosen.all():
            for name, value in vars(self).items():
                setattr(self, name, value[chosen])


@final
class Strong(Attack):
    """Strong climbs the margin from many starts, and drops images that promise nothing.

    It begins with two short climbs, and with three towards the classes that came nearest to the
    label. Then an image is dropped if more is lacking than `patience` times what gradients gained.
    On the others it insists with more steps and classes, and drops those that are not nearly
    misclassified by then. To these it gives long climbs and some queries of Square. Square also
    gets the dropped images that gradients did not move. `Crafted.dropped` says which images were
    given up. An image leaves as soon as it is misclassified as any class. Behind a quantizing
    transform nothing is dropped.

    Steps are as long as `eps` at first, and fall to zero on a line.

    Args:
        model: View to attack.
        eps: Radius in pixel units, not negative.
        norm: Linf or L2.
        patience: The larger it is, the fewer images are dropped; none if it is None.
        queries: Forward passes of Square.

    Raises:
        ConfigError: If an argument is out of range.
    """

    dropped: Bool[Tensor, " n"]
    """Which images of the last batch were given up."""

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        norm: Literal["Linf", "L2"] = "Linf",
        patience: float | None = 2.0,
        queries: int = 1000,
    ) -> None:
        super().__init__(model)
        self.supported_mode = ["default"]
        if patience is not None and not patience >= 0:
            raise ConfigError(f"Expected `patience` to be non-negative, but got {patience}.")
        check_at_least("queries", queries, 2)
        check_choice("norm", norm, ("Linf", "L2"))
        self.threat_model = ThreatModel(norm, eps)
        self.norm, self.eps = norm, eps
        self.patience, self.queries = patience, queries

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape; of the smallest gap where none was found."""
        seeds = self.sample_seeds
        if seeds is None:
            seeds = torch.randint(2**62, (len(images),), device=images.device)
        with torch.no_grad():
            scores = self.get_logits(images)
        self.dropped = torch.zeros_like(labels, dtype=torch.bool)
        found = self.dropped
        if not self.transferred:
            found = self.seen_success(images, scores, labels, None)
        known = _Known(images, labels, scores, seeds, found)
        number = 0
        for stage in _STAGES:
            for each in stage.rounds:
                self._attack(known, each, number)
                number += 1
            self.dropped |= self._hopeless(known, stage)
            known.open &= ~self.dropped
        if not self.transferred:
            self._ask(known, known.open | (self.dropped & known.unmoved()))
        return known.result

    def _hopeless(self, known: _Known, stage: _Stage) -> Bool[Tensor, " n"]:
        # Behind a quantizing transform, gaps change by leaps and promise nothing.
        if self.transferred or self.patience is None or self.cells is not None:
            return torch.zeros_like(self.dropped)
        return known.hopeless(self.patience * stage.patience)

    def _ask(self, known: _Known, chosen: Bool[Tensor, " n"]) -> None:
        """Attack some images without gradients."""
        if not chosen.any():
            return
        square = Square(self.model, self.norm, self.eps, self.queries)
        square.set_device(known.x.device)
        square.sample_seeds = known.seeds[chosen] - 1
        square.judge, square.cells = self.judge, self.cells
        rows, x, y = chosen.nonzero().squeeze(1), known.x[chosen], known.y[chosen]
        x_adv = square(x, y)
        success = self._succeeds(x_adv, y, None)
        known.find(rows[success], x_adv[success])
        self.dropped[rows[success]] = False

    def _attack(self, known: _Known, each: _Round, number: int) -> None:
        """Run a round on all images that are left, as many at once as a batch should have."""
        first, last = each.ranks
        classes = known.promise.shape[1] - 1
        starts = min(last, classes) - first
        if starts < 1 or not known.open.any():
            return
        size = max(1, max(_LEAST_ROWS, len(known.x)) // starts)
        for images in torch.split(known.left, size):
            ranked = known.promise[images].argsort(dim=1, descending=True)
            aims = ranked[:, first : first + starts].flatten()
            column = torch.arange(starts, device=images.device).repeat(len(images))
            rows = images.repeat_interleave(starts)
            streams = RandomStreams(known.seeds[rows] + (_STREAMS * number + column))
            start = self._start(known, rows, aims, each, streams)
            climb = _Climb(rows, aims, start, known.promise[rows])
            climb.weights = 2 * streams.uniform(classes + 1) - 1
            self._run(known, climb, each)

    def _run(self, known: _Known, climb: _Climb, each: _Round) -> None:
        if each.scattered:
            label, aim = known.y[climb.rows].view(-1, 1), climb.aims.view(-1, 1)
            climb.weights = climb.weights.scatter(1, label, -1.0).scatter(1, aim, 1.0)
        for step in range(-each.scattered, each.steps):
            gradient = self._look(known, climb, each, step)
            if not len(climb.rows):
                return
            share = 0.5 if step < 0 else 1 - step / each.steps
            self._move(known, climb, share * direction(gradient, self.norm))
        with torch.no_grad():
            self._see(known, climb, self.get_logits(climb.now), chance=False)

    def _move(self, known: _Known, climb: _Climb, step: Images) -> None:
        stride = _STRIDE if self.cells is not None and self.norm == "L2" else 1
        moved = climb.now + stride * self.eps * step
        climb.now = projected(self.threat_model, self.cells, known.x[climb.rows], moved)

    def _look(self, known: _Known, climb: _Climb, each: _Round, step: int) -> Images:
        """Return the gradient at the images that are still attacked after their scores are seen."""
        now = climb.now.detach().requires_grad_()
        scores: Scores = self.get_logits(now)
        if step < 0:
            climbed = (climb.weights * scores).sum(dim=1)
        else:
            climbed = self._objective(scores, known.y[climb.rows], climb.aims, each.loss)
        (gradient,) = torch.autograd.grad(climbed.sum(), now)
        # A start from beyond the ball has followed gradients.
        chance = step == -each.scattered and not each.far
        return gradient[self._see(known, climb, scores.detach(), chance=chance)]

    def _objective(
        self, scores: Scores, y: Labels, aims: Labels, loss: Loss | None
    ) -> Float[Tensor, " m"]:
        if loss is not None:
            named = named_objective(self.model, scores, y, targeted=False)
            return losses.NAMED[loss](scores, y) if named is None else named
        named = named_objective(self.model, scores, aims, targeted=True)
        if named is not None:
            return -named
        return (scores.gather(1, aims.view(-1, 1)) - scores.gather(1, y.view(-1, 1))).squeeze(1)

    def _see(
        self, known: _Known, climb: _Climb, scores: Scores, *, chance: bool
    ) -> Bool[Tensor, " m"]:
        """Take note of scores, drop the starts of images that are found, and say which stay."""
        y, now = known.y[climb.rows], climb.now.detach()
        known.see(climb.rows, now, _gaps(scores, y), chance=chance)
        if not self.transferred:
            success = self.seen_success(now, scores, y, None)
            known.find(climb.rows[success], now[success])
        stay = known.open[climb.rows]
        climb.keep(stay)
        return stay

    def _start(
        self,
        known: _Known,
        rows: Int64[Tensor, " m"],
        aims: Labels,
        each: _Round,
        streams: RandomStreams,
    ) -> Images:
        x, y = known.x[rows], known.y[rows]
        if not each.far:
            return self._random_start(x, streams)

        def promise(images: Images) -> Float[Tensor, " n"]:
            return self._objective(self.get_logits(images), y, aims, None)

        far = far_images(x, promise, each.far, streams)
        return projected(self.threat_model, self.cells, x, far)

    def _random_start(self, x: Images, streams: RandomStreams) -> Images:
        """Return random points of the ball, uniform in it."""
        if self.norm == "Linf":
            noise = 2 * streams.uniform(*x.shape[1:]) - 1
        else:
            radius = streams.uniform(1, 1, 1).pow(1 / x.shape[1:].numel())
            noise = direction(streams.normal(*x.shape[1:]), self.norm) * radius
        return self.threat_model.project(x, x + noise.to(x.dtype) * self.eps)


def _gaps(scores: Scores, y: Labels) -> Scores:
    """Return each class's score less that of the label; minus infinity at the label."""
    label = y.view(-1, 1)
    return (scores - scores.gather(1, label)).scatter(1, label, -torch.inf)
