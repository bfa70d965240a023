"""The weighted nonlocal Laplacian interpolates classes over a graph of features.

Wang et al. 2018, https://arxiv.org/abs/1809.08516, section 3.1. It is differentiated exactly, which
the paper calls too difficult.
"""

import math
from typing import Any, Literal, NamedTuple, cast, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.errors import ConfigError, check_at_least
from robust.types import Scores

Points = Float[Tensor, "n d"]
Template = Float[Tensor, "l d"]
OneHot = Float[Tensor, "l k"]
Edges = Float[Tensor, "n m"]
Neighbors = Int64[Tensor, "n m"]

_SMALLEST_SCALE = 1e-12
"""The least squared distance to the neighbour that scales weights; points may be equal."""
_SMALLEST_WEIGHT = 1e-10
"""An edge of less weight is ignored: even in float64 nothing would be left of what passes it."""
_GROUP = 8
"""The number of points of a group in the search for neighbours."""
_TOLERANCE = 1e-5
"""If the sum of a row of the solution is further from one, it is solved again in float64."""


@final
class WeightedNonlocalLaplacian(nn.Module):
    """This layer gives class scores of queries, which solve Eq. 3 on a graph with labelled points.

    Every point has an edge to each of its ``neighbors`` nearest points, itself included. Its weight
    is ``w(x, y) = exp(-(|x - y| / s(x)) ** exponent)``. There s(x) is the distance to the entry
    number ``scale_neighbor`` of that list. For each query x

        sum_y (w(x, y) + w(y, x)) (u(x) - u(y)) + (n / l - 1) sum_t w(t, x) (u(x) - u(t)) = 0

    over all n points y and the l labelled points t, where u is one-hot. So the scores of a query
    sum to one and lie in [0, 1], up to rounding, and depend on the other queries. Those of a query
    from which no edges lead to a labelled point are equal.

    The gradient is that of the solution on the graph as it is: the factorization that solves the
    system forward solves its adjoint backward (implicit function theorem).

    Args:
        neighbors: Entries of a point's list of nearest points, itself the first: 15 in the paper.
        scale_neighbor: Which entry scales the weights, 2 to ``neighbors``: 8 in the paper.
        exponent: 2 in the paper; the authors' code has 4.
        precision: What the system is solved in. A system that float32 cannot solve is solved in
            float64 all the same.

    Raises:
        ConfigError: If a number is out of range; when called, if there are fewer labelled points
            than ``neighbors``.
    """

    def __init__(
        self,
        neighbors: int = 15,
        scale_neighbor: int = 8,
        exponent: Literal[2, 4] = 2,
        precision: Literal["float32", "float64"] = "float32",
    ) -> None:
        super().__init__()
        check_at_least("neighbors", neighbors, 2)
        if not 2 <= scale_neighbor <= neighbors:
            raise ConfigError(
                f"Expected `scale_neighbor` to be 2 to `neighbors` ({neighbors}), but got "
                f"{scale_neighbor}. The first entry is the point itself."
            )
        self.neighbors, self.scale_neighbor = neighbors, scale_neighbor
        self.exponent: int = exponent
        self.precision = precision

    def forward(self, queries: Points, template: Template, labels: OneHot) -> Scores:
        """Return the scores of the queries, all in one graph, (n, k).

        Args:
            queries: Features of the points to label.
            template: Features of the labelled points.
            labels: One-hot.
        """
        self.check_template(len(template))
        queries, template, labels = self._cast(queries, template, labels)
        points = torch.cat([template, queries])
        neighbors = nearest(points.detach(), self.neighbors)
        weights = self.weights(points, neighbors)
        return cast(Tensor, _Solve.apply(weights, neighbors, labels))

    def alone(self, queries: Points, template: Template, labels: OneHot) -> Scores:
        """Return the scores of each query as if it were alone, (n, k).

        Its own system has one unknown, which is a mean of the labels of the template. So this takes
        no solver, and is exactly what `forward` gives for each query by itself.
        """
        to, back = self.weights_alone(queries, template)
        (labels,) = self._cast(labels)
        weights = to + (1 + 1 / len(template)) * back
        return weights @ labels / weights.sum(dim=1, keepdim=True)

    def log_kernel(self, queries: Points, template: Template, labels: OneHot) -> Scores:
        """Return log scores of `alone` if every point had an edge to every other, (n, k).

        They have a gradient everywhere. The graph of `alone` is cut off after ``neighbors`` points,
        so it is constant where all of these are of one class.
        """
        queries, template, labels = self._cast(queries, template, labels)
        squares = torch.cdist(queries, template).square()
        own = squares.detach().topk(self.scale_neighbor - 1, largest=False).values[:, -1:]
        others = torch.cdist(template, template).square().fill_diagonal_(torch.inf)
        theirs = others.topk(self.scale_neighbor - 1, largest=False).values[:, -1]
        to, back = self._log_weight(squares, own), self._log_weight(squares, theirs)
        both = torch.logaddexp(to, back + math.log1p(1 / len(template)))
        classes = torch.where(labels.T.bool(), both.unsqueeze(1), -torch.inf).logsumexp(dim=2)
        return classes - both.logsumexp(dim=1, keepdim=True)

    def weights(self, points: Points, neighbors: Neighbors) -> Edges:
        """Return the weights of the edges to ``neighbors``, with the gradient of the kernel."""
        others = points.index_select(0, neighbors.flatten()).view(*neighbors.shape, -1)
        squares = (points.unsqueeze(1) - others).square().sum(dim=2)
        # The list lacks the point itself, which is the first.
        scale = squares[:, self.scale_neighbor - 2].unsqueeze(1)
        return self._log_weight(squares, scale).exp()

    def weights_alone(
        self, queries: Points, template: Template
    ) -> tuple[Float[Tensor, "n l"], Float[Tensor, "n l"]]:
        """Return the weights of the edges from each query to the template, and of those back.

        The graph has one query and the template. A weight is zero where there is no edge.
        """
        self.check_template(len(template))
        queries, template = self._cast(queries, template)
        squares = torch.cdist(queries, template).square()
        count, which = self.neighbors - 1, self.scale_neighbor - 2
        entries = squares.topk(count, largest=False)
        to = torch.zeros_like(squares).scatter(
            1,
            entries.indices,
            self._log_weight(entries.values, entries.values[:, which : which + 1]).exp(),
        )
        listed = torch.cdist(template, template).square().fill_diagonal_(torch.inf)
        # Of labelled points: the query enters their list, or does not.
        listed = listed.topk(count, largest=False).values
        before = listed[:, which - 1] if which else torch.zeros_like(listed[:, 0])
        scale = torch.minimum(torch.maximum(squares, before), listed[:, which])
        back = torch.where(squares < listed[:, -1], self._log_weight(squares, scale).exp(), 0.0)
        return to, back

    def check_template(self, size: int) -> None:
        """Raise unless a template of ``size`` points has enough neighbours for a single query.

        Raises:
            ConfigError: If it has not, with both numbers.
        """
        if size < self.neighbors:
            raise ConfigError(
                f"Expected `neighbors` to be at most the number of labelled points, but got "
                f"{self.neighbors} for {size}. Lower `neighbors` or enlarge the template."
            )

    def _log_weight(self, squares: Tensor, scale: Tensor) -> Tensor:
        ratio = squares / scale.clamp_min(_SMALLEST_SCALE)
        return -(ratio if self.exponent == 2 else ratio.square())

    def _cast(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.to(getattr(torch, self.precision)) for tensor in tensors)


def nearest(points: Points, neighbors: int) -> Neighbors:
    """Return the ``neighbors - 1`` nearest other points of each point, the nearest first."""
    centered = points - points.mean(dim=0)
    norms = centered.square().sum(dim=1)
    squares = torch.addmm(norms, centered, centered.T, alpha=-2)  # without the row's own norm
    squares.fill_diagonal_(torch.inf)
    count = neighbors - 1
    if len(points) < 2 * _GROUP * count:
        return squares.topk(count, largest=False).indices
    # The smallest lie in the groups of the smallest minima, which are found sooner.
    if rest := -len(points) % _GROUP:
        squares = F.pad(squares, (0, rest), value=torch.inf)
    groups = squares.view(len(points), _GROUP, -1)
    best = _smallest(groups.amin(dim=1), norms, count).unsqueeze(1)
    members = groups.gather(2, best.expand(-1, _GROUP, -1)).flatten(1)
    within = _smallest(members, norms, count)
    group = best.squeeze(1).gather(1, within % count)
    return within // count * groups.shape[2] + group


def _smallest(squares: Edges, norms: Float[Tensor, " n"], count: int) -> Int64[Tensor, "n _"]:
    """Return which are smallest in each row, where the row's own norm is still to be added."""
    squares = (squares + norms.unsqueeze(1)).clamp_min(0)
    if squares.dtype == torch.float32:
        squares = squares.view(torch.int32)  # of the same order, and compared faster
    return squares.topk(count, largest=False).indices


class _System(NamedTuple):
    """This is Eq. 3 on all points, those of the template first."""

    matrix: Float[Tensor, "u u"]
    right: Float[Tensor, "u k"]
    reached: Bool[Tensor, " u"]


class _Solve(torch.autograd.Function):
    """This gives the scores of the unlabelled points, a function of the edges' weights."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        weights: Edges,
        neighbors: Neighbors,
        labels: OneHot,
    ) -> Tensor:
        system = _assemble(weights, neighbors, labels)
        factor, info = torch.linalg.cholesky_ex(system.matrix)
        scores = torch.cholesky_solve(system.right, factor)
        if info or not ((scores.sum(dim=1) - 1).abs() <= _TOLERANCE).all():
            system = _assemble(weights.double(), neighbors, labels.double())
            factor = torch.linalg.cholesky(system.matrix)
            scores = torch.cholesky_solve(system.right, factor)
        ctx.save_for_backward(neighbors, labels, factor, scores, system.reached)
        return scores.to(weights.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        neighbors, labels, factor, scores, reached = ctx.saved_tensors
        gradient = torch.where(reached.unsqueeze(1), grads[0].to(factor.dtype), 0.0)
        adjoint = torch.cholesky_solve(gradient, factor)
        u = torch.cat([labels.to(factor.dtype), scores])
        v = torch.cat([torch.zeros_like(labels, dtype=factor.dtype), adjoint])
        # The edge i -> j is in the rows of both its ends, with the fidelity if i is labelled.
        fidelity = torch.zeros(len(u), 1, 1, dtype=u.dtype, device=u.device)
        fidelity[: len(labels)] = _fidelity(len(u), len(labels))
        difference = u.unsqueeze(1) - u[neighbors]
        ends = (1 + fidelity) * v[neighbors] - v.unsqueeze(1)
        return (difference * ends).sum(dim=2).to(grads[0].dtype), None, None


def _fidelity(n: int, labelled: int) -> float:
    return n / labelled - 1


def _assemble(weights: Edges, neighbors: Neighbors, labels: OneHot) -> _System:
    n, m = len(weights), len(labels)
    weights = torch.where(weights > _SMALLEST_WEIGHT, weights, 0.0)
    back = torch.cat([(1 + _fidelity(n, m)) * weights[:m], weights[m:]])
    start = torch.arange(n, device=weights.device).unsqueeze(1)
    # Each edge in the rows of both its ends; those of the template are not read.
    w = torch.zeros(n * n, dtype=weights.dtype, device=weights.device)
    w.scatter_add_(0, (n * start + neighbors).flatten(), weights.flatten())
    w.scatter_add_(0, (n * neighbors + start).flatten(), back.flatten())
    rows = w.view(n, n)[m:]
    fixed, free = rows[:, :m], rows[:, m:]
    degree = rows.sum(dim=1)
    right = fixed @ labels
    reached = _reached(free, fixed.sum(dim=1) > 0)
    if not reached.all():
        # No equation ties these to a label: the rows of a unit matrix, and equal scores.
        untied = ~reached
        free[untied] = 0
        free[:, untied] = 0
        degree = torch.where(untied, 1.0, degree)
        right = torch.where(untied.unsqueeze(1), 1 / labels.shape[1], right)
    return _System((-free).diagonal_scatter(degree), right, reached)


def _reached(free: Float[Tensor, "u u"], start: Bool[Tensor, " u"]) -> Bool[Tensor, " u"]:
    """Say from which points edges lead to those of ``start``."""
    reached, count = start, -1
    while count != (count := int(reached.sum())) and count < len(reached):
        reached = start | (free @ reached.to(free.dtype) > 0)
    return reached
