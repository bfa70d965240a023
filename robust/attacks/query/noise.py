"""These attacks try noise blindly.

What they try in which order is foolbox's of version 1 (Rauber et al. 2017,
https://arxiv.org/abs/1707.04131), which the papers of 2018 to 2020 ran.
"""

from abc import abstractmethod
from typing import final

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from robust.attacks.base import RandomStreams
from robust.attacks.query.base import QueryAttack
from robust.errors import check_at_least
from robust.types import Images, Labels


@final
class SinglePixel(QueryAttack):
    """SinglePixel sets one pixel to 0, then to 1, in all channels; then another pixel instead.

    Pixels come in random order, and the first success ends the search. Two queries a pixel.

    Args:
        model: View to attack.
        max_pixels: Pixels to try; all of an image that has no more.

    Raises:
        ConfigError: If ``max_pixels`` is below 1.
    """

    def __init__(self, model: nn.Module, max_pixels: int = 1000) -> None:
        super().__init__(model)
        check_at_least("max_pixels", max_pixels, 1)
        self.max_pixels = max_pixels

    def search(self, x: Images, goals: Labels, streams: RandomStreams) -> Images:
        """Return the first misclassified image, or the clean one."""
        order = streams.uniform(x[0, 0].numel()).argsort(dim=1)[:, : self.max_pixels]

        def set_pixel(index: Int64[Tensor, " m"], streams: RandomStreams, k: int) -> Images:
            candidates = x[index].flatten(2)
            rows = torch.arange(len(index), device=x.device)
            candidates[rows, :, order[index, k // 2]] = float(k % 2)
            return candidates.view(-1, *x.shape[1:])

        return self.first_success(x, goals, streams, 2 * order.shape[1], set_pixel)[0]


class AdditiveNoise(QueryAttack):
    """Attacks that add ever more noise until the class changes derive from this abstract class.

    Try k of ``levels`` is ``clip(x + e * noise(e))`` with ``e = k / levels``. Each ``noise(e)`` is
    new, and its scale is itself proportional to e, so that the noise grows with e squared.

    Args:
        model: View to attack.
        levels: Length of the grid, and most queries.

    Raises:
        ConfigError: If ``levels`` is below 1.
    """

    def __init__(self, model: nn.Module, levels: int = 1000) -> None:
        super().__init__(model)
        check_at_least("levels", levels, 1)
        self.levels = levels

    @abstractmethod
    def noise(self, streams: RandomStreams, shape: torch.Size) -> Images:
        """Return noise at ``e = 1``."""

    def search(self, x: Images, goals: Labels, streams: RandomStreams) -> Images:
        """Return the first misclassified image, or the clean one."""

        def add_noise(index: Int64[Tensor, " m"], streams: RandomStreams, k: int) -> Images:
            scale = ((k + 1) / self.levels) ** 2
            return (x[index] + scale * self.noise(streams, x.shape[1:]).to(x.dtype)).clamp(0, 1)

        return self.first_success(x, goals, streams, self.levels, add_noise)[0]


@final
class AdditiveUniformNoise(AdditiveNoise):
    """AdditiveUniformNoise adds uniform noise of half-width ``e**2`` for e = 1/levels, ..., 1."""

    def noise(self, streams: RandomStreams, shape: torch.Size) -> Images:
        """Return uniform numbers in [-1, 1)."""
        return 2 * streams.uniform(*shape) - 1


@final
class AdditiveGaussianNoise(AdditiveNoise):
    """AdditiveGaussianNoise adds normal noise of standard deviation ``e**2 / sqrt(3)``.

    That is the standard deviation of the uniform noise.
    """

    def noise(self, streams: RandomStreams, shape: torch.Size) -> Images:
        """Return normal numbers of variance 1/3."""
        return streams.normal(*shape) / 3**0.5
