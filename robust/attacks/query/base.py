"""The base of the attacks that only run a model forward."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64
from torch import Tensor

from robust.attacks.base import Attack, Draws
from robust.types import Images, Labels

Propose = Callable[[Int64[Tensor, " m"], Draws, int], Images]
"""The k-th try for the images at some places of the batch."""

# Larger ones cost more on a CPU: their temporaries are mapped and unmapped every time.
_LEAST_CHUNK = 128
_MARGIN = 1e-4
_BLOCK = 4


class QueryAttack(Attack, ABC):
    """Base of the attacks that run a model forward and need no gradients.

    Abstract: a subclass defines ``search``. An image that is not of its label to begin with comes
    back as it is.
    """

    @torch.no_grad()
    def forward(self, images: Images, labels: Labels) -> Images:
        """Adversarial images of the same shape; an image is as it was if nothing was found."""
        self._batch = len(images)
        target = self.target(images, labels)
        goals = labels if target is None else target
        x_adv = images.clone()
        alive = ~self.broken(images, goals)
        if alive.any():
            draws = self.draws(images)[alive]
            x_adv[alive] = self.search(images[alive], goals[alive], draws)
        return x_adv

    @abstractmethod
    def search(self, x: Images, goals: Labels, draws: Draws) -> Images:
        """Adversarial images of those that are not broken yet.

        Args:
            x: Clean images, at least one.
            goals: The class that each shall cease to be, or shall become in targeted mode.
            draws: Random numbers of each.
        """

    def broken(self, x: Images, goals: Labels) -> Bool[Tensor, " n"]:
        """Whether the class of each image is what the attacker wants."""
        if not len(x):
            return goals.new_zeros(0, dtype=torch.bool)
        parts = torch.split(x, self.chunk)
        predicted = torch.cat([self.predict(part) for part in parts])
        return predicted == goals if self.targeted else predicted != goals

    @property
    def chunk(self) -> int:
        """Most images of one forward pass: as many as the caller had in a batch, or 128."""
        return max(_LEAST_CHUNK, self._batch)

    def first_success(
        self, x: Images, goals: Labels, draws: Draws, tries: int, propose: Propose
    ) -> tuple[Images, Int64[Tensor, " n"]]:
        """The first broken proposal of each image, and which one that was; -1 if there is none.

        A proposal that is ``x`` itself, which is not broken, costs no query.
        """
        result, clean, wanted = x.clone(), x, goals
        remaining = torch.arange(len(x), device=x.device)
        found_at = torch.full_like(remaining, -1)
        for k in range(tries):
            if not len(remaining):
                break
            proposals = propose(remaining, draws, k)
            broken = (proposals != clean).flatten(1).any(dim=1)
            asked = slice(None) if broken.all() else broken.nonzero().flatten()
            broken[asked] = self.broken(proposals[asked], wanted[asked])
            # A copy, so that the caller's go on from where one try has left them, whoever fails.
            draws = draws[~broken]
            if broken.any():
                result[remaining[broken]] = proposals[broken]
                found_at[remaining[broken]] = k
                remaining, clean, wanted = remaining[~broken], clean[~broken], wanted[~broken]
        return result, found_at

    def start(
        self, x: Images, goals: Labels, draws: Draws, tries: int
    ) -> tuple[Images, Int64[Tensor, " n"]]:
        """The first random image that is broken, and which one that was; -1 if there is none.

        First ``tries`` images of independent uniform pixels, as in foolbox. Nets often put all of
        these into one class, so then come ``tries`` images of independent uniform 4x4 blocks.
        """
        channels, height, width = x.shape[1:]

        def random_image(place: Int64[Tensor, " m"], draws: Draws, k: int) -> Images:
            if k < tries:
                return draws.uniform(channels, height, width).to(x.dtype)
            blocks = draws.uniform(channels, -(-height // _BLOCK), -(-width // _BLOCK))
            return F.interpolate(blocks, scale_factor=_BLOCK)[..., :height, :width].to(x.dtype)

        return self.first_success(x, goals, draws, 2 * tries, random_image)

    def settle(self, x: Images, found: Images, goals: Labels) -> Images:
        """The found images, a ten-thousandth further from ``x`` where they are broken there too.

        At the boundary the class hangs on the rounding of the net's sums, which changes with the
        size of the batch.
        """
        further = (found + _MARGIN * (found - x)).clamp(0, 1)
        return torch.where(self.broken(further, goals).view(-1, 1, 1, 1), further, found)
