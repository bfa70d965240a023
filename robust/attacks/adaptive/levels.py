"""Where a network rounds its pixels, found by looking at which changes it does not see."""

import itertools
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robust.types import Images, Scores


@final
class Levels(nn.Module):
    """Levels gives each pixel the number of thresholds below it, which is how a network sees it.

    Args:
        level_thresholds: In ascending order, within (0, 1).
    """

    def __init__(self, level_thresholds: Sequence[float]) -> None:
        super().__init__()
        self.level_thresholds = tuple(level_thresholds)

    def forward(self, x: Images) -> Images:
        """Return the level of each pixel."""
        thresholds = x.new_tensor(self.level_thresholds)
        return torch.bucketize(x, thresholds).to(x.dtype)


@torch.no_grad()
def levels_of(network: nn.Module, x: Images) -> Levels | None:
    """Return the levels that a network tells apart; None if they are many or one.

    A threshold is where the scores of some image change as all its pixels of a small range move to
    the next one. So a function of all pixels has one at each step.

    Args:
        network: Images to scores, the same at each call.
        x: Some images.
    """
    # Each pixel somewhere: images of few values show few steps.
    x = torch.cat([x, torch.rand_like(x)])
    ends = torch.linspace(0, 1, _RANGES + 1, dtype=x.dtype, device=x.device)
    found: list[float] = []
    for low, high in itertools.pairwise(ends):
        inside = (x >= low) & (x <= high)
        if _changes(network, x, inside, low, high):
            found.append(_threshold(network, x, inside, low, high))
            if len(found) > _MOST:
                return None
    return Levels(found) if found else None


def _threshold(network: nn.Module, x: Images, inside: Tensor, low: Tensor, high: Tensor) -> float:
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _changes(network, x, inside, low, middle):
            high = middle
        else:
            low = middle
    return float(low + high) / 2


def _changes(network: nn.Module, x: Images, inside: Tensor, low: Tensor, high: Tensor) -> bool:
    before, after = (_scores(network, torch.where(inside, value, x)) for value in (low, high))
    return not torch.equal(before, after)


def _scores(network: nn.Module, x: Images) -> Float[Tensor, "n k"]:
    scores: Scores = network.forward(x)
    return scores


_RANGES, _MOST, _BISECTIONS = 64, 8, 14
