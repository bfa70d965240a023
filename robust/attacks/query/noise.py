"""Attacks that try noise blindly.

What they try in which order is foolbox's of version 1 (Rauber et al. 2017,
https://arxiv.org/abs/1707.04131), which the papers of 2018 to 2020 ran.
"""

from abc import abstractmethod
from typing import final

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from robust.attacks.base import Draws
from robust.attacks.query.base import QueryAttack
from robust.errors import check_at_least
from robust.types import Images, Labels


@final
class SinglePixel(QueryAttack):
    """Sets one pixel to 0, then to 1, in all channels; then another pixel instead.

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

    def search(self, x: Images, goals: Labels, draws: Draws) -> Images:
        """The first broken image, or the clean one."""
        order = draws.uniform(x[0, 0].numel()).argsort(dim=1)[:, : self.max_pixels]

        def set_pixel(place: Int64[Tensor, " m"], draws: Draws, k: int) -> Images:
            candidates = x[place].flatten(2)
            rows = torch.arange(len(place), device=x.device)
            candidates[rows, :, order[place, k // 2]] = float(k % 2)
            return candidates.view(-1, *x.shape[1:])

        return self.first_success(x, goals, draws, 2 * order.shape[1], set_pixel)[0]


class AdditiveNoise(QueryAttack):
    """Base of the attacks that add more and more noise until the class changes. Abstract.

    Try k of ``levels`` is ``clip(x + e * noise(e))`` with ``e = k / levels``, where ``noise(e)`` is
    drawn anew and its scale is itself proportional to e, so that the noise grows with e squared.

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
    def noise(self, draws: Draws, shape: torch.Size) -> Images:
        """Noise at ``e = 1``."""

    def search(self, x: Images, goals: Labels, draws: Draws) -> Images:
        """The first broken image, or the clean one."""

        def add_noise(place: Int64[Tensor, " m"], draws: Draws, k: int) -> Images:
            scale = ((k + 1) / self.levels) ** 2
            return (x[place] + scale * self.noise(draws, x.shape[1:]).to(x.dtype)).clamp(0, 1)

        return self.first_success(x, goals, draws, self.levels, add_noise)[0]


@final
class AdditiveUniformNoise(AdditiveNoise):
    """Adds uniform noise of half-width ``e**2`` for e = 1/levels, 2/levels, ..., 1."""

    def noise(self, draws: Draws, shape: torch.Size) -> Images:
        """Uniform numbers in [-1, 1)."""
        return 2 * draws.uniform(*shape) - 1


@final
class AdditiveGaussianNoise(AdditiveNoise):
    """Adds normal noise of the uniform one's variance, standard deviation ``e**2 / sqrt(3)``."""

    def noise(self, draws: Draws, shape: torch.Size) -> Images:
        """Normal numbers of variance 1/3."""
        return draws.normal(*shape) / 3**0.5
