"""The boundary attack walks at random along the decision boundary, ever closer to the image.

Brendel et al. 2018, https://arxiv.org/abs/1712.04248.
"""

from dataclasses import dataclass, fields
from itertools import count
from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.attacks.base import RandomStreams
from robust.attacks.query.base import QueryAttack
from robust.errors import ConfigError, check_at_least
from robust.threat import distance
from robust.types import Images, Labels

# Shares of successes below and above which steps shrink and grow: foolbox 3's.
_SPHERE_RATES, _CANDIDATE_RATES = (0.2, 0.5), (0.1, 0.25)
# foolbox looks at every tenth candidate, and at 100 and 30 of those: many queries too late.
_CHECK_EVERY = 5
_WINDOW = 20


@final
class BoundaryAttack(QueryAttack):
    """The boundary attack starts at a blend with a random image and walks to the clean one.

    Section 2 and Fig. 2 of the paper. One iteration samples up to ``directions`` candidates and
    moves to the first that succeeds. A candidate has two steps. The first is orthogonal to the way
    to the clean image, by ``spherical_step`` times the distance, back onto the sphere. The second
    goes inwards, by ``source_step`` times the distance.

    Every image has steps of its own. Both grow by ``step_adaptation`` when more than a half of the
    last 20 points on the sphere succeeded. They shrink when fewer than a fifth did. Every fifth
    point is asked about. The source step alone grows when more than a quarter of the last 20
    candidates succeeded, and shrinks when fewer than a tenth did. An image ends when its source
    step falls below ``converged``.

    The distance never grows. Only the result is moved outwards again, by a ten-thousandth, so that
    its class does not depend on rounding.

    Args:
        model: View to attack.
        iterations: Most iterations of an image.
        directions: Most candidates of an iteration.
        spherical_step: First orthogonal step, relative to the distance.
        source_step: First step towards the clean image, relative to the distance.
        step_adaptation: Factor by which steps grow and shrink, above 1.
        converged: Source step at which an image is finished.
        starts: Random images to try; twice as many in the worst case.
        blend_levels: Blends of the clean and the random image to try, from the clean one on.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        iterations: int = 5000,
        directions: int = 25,
        spherical_step: float = 0.01,
        source_step: float = 0.01,
        step_adaptation: float = 1.5,
        converged: float = 1e-7,
        starts: int = 100,
        blend_levels: int = 1000,
    ) -> None:
        super().__init__(model)
        counts = {"iterations": iterations, "directions": directions}
        for name, number in (counts | {"starts": starts, "blend_levels": blend_levels}).items():
            check_at_least(name, number, 1)
        for name, step in (("spherical_step", spherical_step), ("source_step", source_step)):
            if not 0 < step < 1:
                raise ConfigError(f"Expected `{name}` to be between 0 and 1, but got {step}.")
        if not step_adaptation > 1:
            raise ConfigError(
                f"Expected `step_adaptation` to be above 1, but got {step_adaptation}."
            )
        check_at_least("converged", converged, 0)
        self.iterations, self.directions = iterations, directions
        self.spherical_step, self.source_step = spherical_step, source_step
        self.step_adaptation, self.converged = step_adaptation, converged
        self.starts, self.blend_levels = starts, blend_levels

    def search(self, x: Images, goals: Labels, streams: RandomStreams) -> Images:
        """Return the closest successes that the walk met; clean images where it found no start."""
        best = x.clone()
        random, started_at = self.start(x, goals, streams, self.starts)
        index = (started_at >= 0).nonzero().flatten()
        blends, blended_at = self._blend(x[index], random[index], goals[index], streams[index])
        # Rounding may keep even the last blend, the random image itself, from succeeding again.
        blended = blended_at >= 0
        index = index[blended]
        best[index] = blends[blended]
        if not len(index):
            return best
        walk = self._begin(index, x[index], best[index], goals[index], streams[index])
        for candidate in count(1):
            self._step(walk, x.shape[1:], checked=candidate % _CHECK_EVERY == 0)
            going = (walk.iteration < self.iterations) & (walk.source_step >= self.converged)
            if not going.all():
                best[walk.index] = walk.best.view(-1, *x.shape[1:])
                walk = _chosen(walk, going)
            if not len(walk.index):
                break
        best[index] = self.settle(x[index], best[index], goals[index])
        return best

    def _blend(
        self, x: Images, random: Images, goals: Labels, streams: RandomStreams
    ) -> tuple[Images, Int64[Tensor, " n"]]:
        def blend(index: Int64[Tensor, " m"], streams: RandomStreams, k: int) -> Images:
            return torch.lerp(x[index], random[index], (k + 1) / self.blend_levels)

        return self.first_success(x, goals, streams, self.blend_levels, blend)

    def _begin(
        self,
        index: Int64[Tensor, " n"],
        x: Images,
        best: Images,
        goals: Labels,
        streams: RandomStreams,
    ) -> "_Walk":
        return _Walk(
            index,
            x.flatten(1),
            best.flatten(1),
            (best - x).flatten(1),
            goals,
            streams,
            distance(x, best, "L2"),
            torch.zeros_like(index),
            torch.zeros_like(index),
            torch.full_like(index, self.spherical_step, dtype=torch.float64),
            torch.full_like(index, self.source_step, dtype=torch.float64),
            _Outcomes.none(len(index), x.device),
            _Outcomes.none(len(index), x.device),
        )

    def _step(self, walk: "_Walk", shape: torch.Size, checked: bool) -> None:
        """Try one candidate of each image, all of which have that shape."""
        on_sphere, candidates = _propose(walk)
        success = self.succeeds(candidates.view(-1, *shape), walk.goals)
        walk.candidate_outcomes.add(success)
        walk.move(candidates, success.nonzero().flatten())
        if checked:
            walk.sphere_outcomes.add(self.succeeds(on_sphere.view(-1, *shape), walk.goals))
            factor = self._factor(walk.sphere_outcomes, _SPHERE_RATES)
            walk.spherical_step = walk.spherical_step * factor
            walk.source_step = walk.source_step * factor
        factor = self._factor(walk.candidate_outcomes, _CANDIDATE_RATES)
        walk.source_step = walk.source_step * factor
        walk.trial = walk.trial + 1
        ended = success | (walk.trial >= self.directions)
        walk.iteration = walk.iteration + ended.long()
        walk.trial = torch.where(ended, 0, walk.trial)

    def _factor(self, outcomes: "_Outcomes", rates: tuple[float, float]) -> Float[Tensor, " n"]:
        """Return the factor of each step; outcomes that changed one are forgotten."""
        least, most = rates
        rate = outcomes.rate()
        grown = torch.where(rate > most, self.step_adaptation, 1.0)
        factor = torch.where(rate < least, 1 / self.step_adaptation, grown).double()
        outcomes.clear(factor != 1)
        return factor


@dataclass
class _Outcomes:
    """This remembers the last successes and failures of each image."""

    ring: Bool[Tensor, "n window"]
    count: Int64[Tensor, " n"]

    @classmethod
    def none(cls, images: int, device: torch.device) -> "_Outcomes":
        """Return an empty memory."""
        ring = torch.zeros(images, _WINDOW, dtype=torch.bool, device=device)
        return cls(ring, torch.zeros(images, dtype=torch.int64, device=device))

    def add(self, outcome: Bool[Tensor, " n"]) -> None:
        """Note an outcome of each image."""
        self.ring.scatter_(1, (self.count % _WINDOW).unsqueeze(1), outcome.unsqueeze(1))
        self.count = self.count + 1

    def rate(self) -> Float[Tensor, " n"]:
        """Return the share of successes; NaN, for which no comparison is true, if there are few."""
        full = self.count >= _WINDOW
        return torch.where(full, self.ring.sum(dim=1) / _WINDOW, torch.nan)

    def clear(self, chosen: Bool[Tensor, " n"]) -> None:
        """Forget the outcomes of the chosen images."""
        self.count = torch.where(chosen, 0, self.count)

    def __getitem__(self, chosen: Tensor) -> "_Outcomes":
        return _Outcomes(self.ring[chosen], self.count[chosen])


@dataclass
class _Walk:
    """These are the images still walking, flattened, and all that belongs to each."""

    index: Int64[Tensor, " n"]
    x: Float[Tensor, "n d"]
    best: Float[Tensor, "n d"]
    outward: Float[Tensor, "n d"]
    """The way from ``x`` to ``best``."""
    goals: Labels
    streams: RandomStreams
    distance: Float[Tensor, " n"]
    iteration: Int64[Tensor, " n"]
    trial: Int64[Tensor, " n"]
    spherical_step: Float[Tensor, " n"]
    source_step: Float[Tensor, " n"]
    sphere_outcomes: _Outcomes
    candidate_outcomes: _Outcomes

    def move(self, candidates: Float[Tensor, "n d"], rows: Int64[Tensor, " m"]) -> None:
        """Move some images to their candidates."""
        x, best = self.x[rows], candidates[rows]
        lengths = torch.linalg.vector_norm(best.double() - x.double(), dim=1)
        # A candidate was computed to be closer; rounding may differ.
        closer = lengths < self.distance[rows]
        rows, best = rows[closer], best[closer]
        self.best[rows], self.outward[rows] = best, best - x[closer]
        self.distance[rows] = lengths[closer]


def _chosen(walk: _Walk, chosen: Bool[Tensor, " n"]) -> _Walk:
    return _Walk(*(getattr(walk, field.name)[chosen] for field in fields(walk)))


def _propose(walk: _Walk) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
    """Return each image's next point on the sphere around the clean one, and it moved inwards."""
    x, outward = walk.x, walk.outward
    length, spherical_step, source_step = (
        column.to(x.dtype).unsqueeze(1)
        for column in (walk.distance, walk.spherical_step, walk.source_step)
    )
    random = walk.streams.window(x.shape[1]).to(x.dtype)
    along = (random * outward).sum(dim=1, keepdim=True) / length.square()
    orthogonal = random.addcmul_(outward, -along)
    back = (1 + spherical_step.square()).rsqrt()
    sideways = back * spherical_step * length / _norm(orthogonal)
    on_sphere = torch.addcmul(x, outward, back).addcmul_(orthogonal, sideways).clamp_(0, 1)
    # Clipping has changed the distance, which the step inwards makes up for.
    way = on_sphere - x
    reached = _norm(way)
    kept = ((1 - source_step) * length / reached).clamp(0, 1)
    return on_sphere, torch.addcmul(x, way, kept)


def _norm(x: Float[Tensor, "n d"]) -> Float[Tensor, "n 1"]:
    norms: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return norms.clamp_min(torch.finfo(x.dtype).tiny)
