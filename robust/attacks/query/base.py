"""Attacks that only run a model forward share this base."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64
from torch import Tensor

from robust.attacks.base import Attack, RandomStreams
from robust.types import Images, Labels

Propose = Callable[[Int64[Tensor, " m"], RandomStreams, int], Images]
"""It returns the k-th try for the images of some index in the batch."""

# Larger ones cost more on a CPU: their temporaries are mapped and unmapped every time.
_LEAST_CHUNK = 128
_MARGIN = 1e-4
_BLOCK = 4


class QueryAttack(Attack, ABC):
    """Attacks that run a model forward and need no gradients derive from this abstract class.

    A subclass defines ``search``. An image that is misclassified to begin with is returned
    unchanged.
    """

    @torch.no_grad()
    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape; unchanged where nothing was found."""
        self._batch = len(images)
        target = self.target(images, labels)
        goals = labels if target is None else target
        x_adv = images.clone()
        alive = ~self.succeeds(images, goals)
        if alive.any():
            streams = self.random_streams(images)[alive]
            x_adv[alive] = self.search(images[alive], goals[alive], streams)
        return x_adv

    @abstractmethod
    def search(self, x: Images, goals: Labels, streams: RandomStreams) -> Images:
        """Return adversarial images of those that are still robust.

        Args:
            x: Clean images, at least one.
            goals: The class that each shall cease to be, or shall become in targeted mode.
            streams: The random stream of each.
        """

    def succeeds(self, x: Images, goals: Labels) -> Bool[Tensor, " n"]:
        """Say whether the class of each image is what the attacker wants."""
        if not len(x):
            return goals.new_zeros(0, dtype=torch.bool)
        parts = torch.split(x, self.chunk)
        predicted = torch.cat([self.predict(part) for part in parts])
        return predicted == goals if self.targeted else predicted != goals

    @property
    def chunk(self) -> int:
        """The most images of one forward pass: as many as the caller had in a batch, or 128."""
        return max(_LEAST_CHUNK, self._batch)

    def first_success(
        self, x: Images, goals: Labels, streams: RandomStreams, tries: int, propose: Propose
    ) -> tuple[Images, Int64[Tensor, " n"]]:
        """Return the first successful proposal of each image, and its number; -1 if there is none.

        A proposal that is ``x`` itself, which is still robust, costs no query.
        """
        result, clean, wanted = x.clone(), x, goals
        remaining = torch.arange(len(x), device=x.device)
        found_at = torch.full_like(remaining, -1)
        for k in range(tries):
            if not len(remaining):
                break
            proposals = propose(remaining, streams, k)
            success = (proposals != clean).flatten(1).any(dim=1)
            asked = slice(None) if success.all() else success.nonzero().flatten()
            success[asked] = self.succeeds(proposals[asked], wanted[asked])
            # A copy, so that the caller's streams advance alike, whether an image fails or not.
            streams = streams[~success]
            if success.any():
                result[remaining[success]] = proposals[success]
                found_at[remaining[success]] = k
                remaining, clean, wanted = remaining[~success], clean[~success], wanted[~success]
        return result, found_at

    def start(
        self, x: Images, goals: Labels, streams: RandomStreams, tries: int
    ) -> tuple[Images, Int64[Tensor, " n"]]:
        """Return the first random image that succeeds, and its number; -1 if there is none.

        First come ``tries`` images of independent uniform pixels, as in foolbox. Networks often put
        all of these into one class. So ``tries`` images of independent uniform 4x4 blocks follow.
        """
        channels, height, width = x.shape[1:]

        def random_image(index: Int64[Tensor, " m"], streams: RandomStreams, k: int) -> Images:
            if k < tries:
                return streams.uniform(channels, height, width).to(x.dtype)
            blocks = streams.uniform(channels, -(-height // _BLOCK), -(-width // _BLOCK))
            return F.interpolate(blocks, scale_factor=_BLOCK)[..., :height, :width].to(x.dtype)

        return self.first_success(x, goals, streams, 2 * tries, random_image)

    def settle(self, x: Images, found: Images, goals: Labels) -> Images:
        """Move found images a ten-thousandth further from ``x`` where they succeed there, too.

        At the boundary the class depends on the rounding of the network's sums, which changes with
        the size of the batch.
        """
        further = (found + _MARGIN * (found - x)).clamp(0, 1)
        return torch.where(self.succeeds(further, goals).view(-1, 1, 1, 1), further, found)
