"""Read-outs are made for images of which each then has an adversarial one within eps."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator

from robust.data.module_arguments import usual_batch
from robust.defenses.base import Defense
from robust.measures.unit_test.layers import LastLayer, features_of, line_of
from robust.measures.unit_test.points import edge_points, inner_points
from robust.measures.unit_test.readouts import ReadOuts, fitted
from robust.results.metrics import Rate
from robust.threat import ThreatModel
from robust.types import Images

BLOCK = 64
"""Images that are attacked together at most: a bound on the pairs that are compared."""
_CHUNK = 8
"""Images whose read-outs are fitted together, a bound on memory."""
_TRIES = 5
"""Points at the edge that are tried, as few features do not separate any one from those inside."""


@dataclass(frozen=True)
class Planted:
    """Images each of which has an adversarial one within eps, with the read-outs that make it."""

    x: Images
    threat_model: ThreatModel
    last: LastLayer
    readouts: ReadOuts
    separated: Rate
    """They are so many of all images."""


@dataclass(frozen=True)
class Planter:
    """It makes read-outs for images of which each then has an adversarial one within eps."""

    defense: Defense
    last: LastLayer
    threat_model: ThreatModel
    points: int
    generator: Generator

    def plant(self, x: Images) -> list[Planted]:
        """Return images whose points a linear function of the features separates, in blocks."""
        size = min(BLOCK, usual_batch(x.shape[1:]))
        return [self._block(part) for part in torch.split(x, size)]

    def _block(self, x: Images) -> Planted:
        parts, separated = zip(*map(self._fitted, torch.split(x, _CHUNK)), strict=True)
        kept = torch.cat(separated)
        readouts = ReadOuts(*(torch.cat(part)[kept] for part in zip(*parts, strict=True)))
        rate = Rate(int(kept.sum()), len(kept))
        return Planted(x[kept], self.threat_model, self.last, readouts, rate)

    def _fitted(self, x: Images) -> tuple[ReadOuts, Bool[torch.Tensor, " n"]]:
        """Return read-outs of some images, and which of them separate their points."""
        inside = self._inside(x)
        size = self.last.outputs.std() / line_of(self.defense, self.last).step
        separated = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        readouts = ReadOuts(torch.zeros_like(inside[:, 0]), torch.zeros_like(inside[:, 0, 0]))
        for _ in range(_TRIES):
            left = (~separated).nonzero().squeeze(1)
            if not len(left):
                break
            edge = self._features(edge_points(self.threat_model, x[left].cpu(), self.generator))
            found = fitted(inside[left], edge, size)
            readouts.weight[left], readouts.bias[left] = found
            separated[left] = found.separate(inside[left], edge)
        return readouts, separated

    def _inside(self, x: Images) -> Float[torch.Tensor, "n m f"]:
        count = self.points - 1
        around = (
            inner_points(self.threat_model, image, count, self.generator) for image in x.cpu()
        )
        return torch.stack([torch.cat(list(map(self._features, parts))) for parts in around])

    def _features(self, images: Images) -> Float[torch.Tensor, "n f"]:
        images = images.to(self.last.outputs.device)
        return features_of(self.defense, self.last.layer, images)
