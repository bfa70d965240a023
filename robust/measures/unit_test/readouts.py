"""Read-outs tell the points inside from the one at the edge, in the place of the last layer."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.threat import ThreatModel
from robust.types import Images

_STEPS = 2000
_TOLERANCE = 0.01
"""The margin is found up to this share of it."""
_NOTHING = 1e-4
"""Squared margin, as a share of the squared distance to the image, that counts as none."""
_BEFORE = 0.01
"""Share of the gap before the edge point at which the read-out changes its class."""


class ReadOuts(NamedTuple):
    """A linear function of the features for each image: below zero inside, above it at the edge."""

    weight: Float[Tensor, "n f"]
    bias: Float[Tensor, " n"]

    def __call__(
        self, features: Float[Tensor, "m f"], image: Int64[Tensor, " m"]
    ) -> Float[Tensor, " m"]:
        """Return what the read-outs of some images say of features."""
        return (features * self.weight[image]).sum(dim=1) - self.bias[image]

    def separate(
        self, inside: Float[Tensor, "n m f"], edge: Float[Tensor, "n f"]
    ) -> Bool[Tensor, " n"]:
        """Return which read-outs are below zero at all inner points, and above it at the edge."""
        below = torch.einsum("nmf,nf->nm", inside, self.weight) < self.bias[:, None]
        return below.all(dim=1) & ((edge * self.weight).sum(dim=1) > self.bias)


def fitted(
    inside: Float[Tensor, "n m f"], edge: Float[Tensor, "n f"], size: Float[Tensor, ""]
) -> ReadOuts:
    """Return read-outs that separate both sets by the largest margin, of all images at once.

    The normal of the separating plane leads from the nearest point of the convex hull of the inner
    points to the edge point. Weight moves from the inner point furthest back to the one furthest
    ahead (Mitchell, Demyanov and Malozemov 1974, https://doi.org/10.1137/0312003).

    Args:
        inside: Features of the inner points; the first one is of the image.
        edge: Those of the edge point.
        size: What a read-out says of its image, without the sign.
    """
    # Float64, since features of inner points differ little.
    inside, edge = inside.double(), edge.double()
    normal = edge - _nearest_of_hull(inside, edge)
    ahead = torch.einsum("nmf,nf->nm", inside, normal)
    at_edge = (edge * normal).sum(dim=1)
    bias = at_edge - _BEFORE * (at_edge - ahead.amax(dim=1))
    said = (ahead[:, 0] - bias).abs().clamp_min(torch.finfo(torch.float64).tiny)
    scale = size.double() / said
    return ReadOuts((normal * scale[:, None]).float(), (bias * scale).float())


def _nearest_of_hull(
    inside: Float[Tensor, "n m f"], edge: Float[Tensor, "n f"]
) -> Float[Tensor, "n f"]:
    """Return the nearest point, or one that is so near that nothing lies in between."""
    rows = torch.arange(len(inside), device=inside.device)
    nothing = _NOTHING * (edge - inside[:, 0]).square().sum(dim=1)
    share = inside.new_zeros(inside.shape[:2])
    share[:, 0] = 1
    nearest = inside[:, 0].clone()
    for _ in range(_STEPS):
        normal = edge - nearest
        ahead = torch.einsum("nmf,nf->nm", inside, normal)
        best = ahead.argmax(dim=1)
        left = (ahead[rows, best] - (nearest * normal).sum(dim=1)).clamp_min(0)
        gap = normal.square().sum(dim=1)
        if ((left <= _TOLERANCE * gap) | (gap <= nothing)).all():
            break
        worst = ahead.masked_fill(share <= 0, torch.inf).argmin(dim=1)
        way = inside[rows, best] - inside[rows, worst]
        squares = way.square().sum(dim=1).clamp_min(torch.finfo(way.dtype).tiny)
        step = ((normal * way).sum(dim=1) / squares).clamp_min(0)
        step = torch.minimum(step, share[rows, worst])
        share[rows, best] += step
        share[rows, worst] -= step
        nearest = nearest + step[:, None] * way
    return nearest


class Line(NamedTuple):
    """The outputs of a layer on the way from one class to another, by what a read-out says."""

    start: Float[Tensor, " k"]
    """Where it says zero, which is the boundary of the two classes."""
    way: Float[Tensor, " k"]
    """What is added where it says one."""
    others: Bool[Tensor, " k"]
    """Which outputs are those of other classes, which stay below both."""

    def outputs(self, said: Float[Tensor, " m"]) -> Float[Tensor, "m k"]:
        """Return the outputs of the layer."""
        said = said[:, None]
        return self.start + said * self.way - (said.abs() + 1) * self.others

    @property
    def step(self) -> float:
        """Root mean square of the outputs that change, where a read-out says one."""
        return float(self.way[~self.others].square().mean().sqrt())


def logits_line(classes: int, device: torch.device) -> Line:
    """Return the line from class 0 to class 1, where each class has an output."""
    way = torch.zeros(classes, device=device)
    way[0], way[1] = -1, 1
    return Line(torch.zeros_like(way), way, way == 0)


class Chooser:
    """It says of which image each point of a batch is, by the nearest one in a norm.

    Attacks drop images on the way, and add restarts. So the place in a batch says little: it is
    right where a point is within the threat model of the image in that place.

    Args:
        x: The images.
        threat_model: Of Linf or L2.
    """

    def __init__(self, x: Images, threat_model: ThreatModel) -> None:
        self._x, self._threat_model = x, threat_model
        self._depth = 0
        self.image: Int64[Tensor, " m"] | None = None
        """Of each point of the last batch that was looked at."""

    def enter(self, points: Images) -> None:
        """Look at the points that a view gets; what it hands on to a view inside is another."""
        self._depth += 1
        if self._depth == 1:
            self.look(points)

    def leave(self) -> None:
        """Note that a view has answered."""
        self._depth -= 1

    @torch.no_grad()
    def look(self, points: Images) -> None:
        """Look at a batch of points, of pixels in [0, 1]."""
        if len(points) != len(self._x):
            self.image = self._nearest(points)
            return
        near = self._threat_model.distance(self._x, points) <= self._threat_model.limit
        self.image = torch.arange(len(points), device=points.device)
        if not near.all():
            self.image[~near] = self._nearest(points[~near])

    def _nearest(self, points: Images) -> Int64[Tensor, " m"]:
        p = float("inf") if self._threat_model.norm == "Linf" else 2.0
        return torch.cdist(points.flatten(1), self._x.flatten(1), p=p).argmin(dim=1)


@contextmanager
def replaced(
    layer: nn.Module,
    readouts: ReadOuts,
    chooser: Chooser,
    line: Line,
    modules: list[nn.Module],
) -> Iterator[None]:
    """Have read-outs answer in the place of a layer, until the context ends.

    Args:
        layer: Features to outputs, of any shape.
        readouts: One for each image.
        chooser: Which of them is asked.
        line: What the layer returns then.
        modules: Views of the defense; whatever they are asked about is looked at first.
    """

    def answer(module: nn.Module, args: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        assert chooser.image is not None
        said = readouts(args[0].flatten(1), chooser.image)
        return line.outputs(said).view(outputs.shape)

    with ExitStack() as stack:
        for module in modules:
            entering = module.register_forward_pre_hook(lambda _, args: chooser.enter(args[0]))
            # Also after an error, which some attacks catch.
            leaving = module.register_forward_hook(lambda *_: chooser.leave(), always_call=True)
            stack.callback(entering.remove)
            stack.callback(leaving.remove)
        stack.callback(layer.register_forward_hook(answer).remove)
        yield
