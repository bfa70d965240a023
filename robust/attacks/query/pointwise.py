"""The pointwise attack: as few pixels as a walk back from salt-and-pepper noise leaves.

Schott et al. 2019, https://arxiv.org/abs/1805.09190, section 4.
"""

from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.attacks.base import Draws
from robust.attacks.query.base import QueryAttack
from robust.errors import check_at_least
from robust.threat import distance
from robust.types import Images, Labels


@final
class Pointwise(QueryAttack):
    """Salt-and-pepper noise, of which every pixel goes back whose change is not needed.

    Noise sets a growing share of the pixels to 0 or 1, with equal odds and in all channels, until
    the class changes. Then each changed pixel in turn, in random order, becomes clean again if the
    image stays broken without it, and again from the first one until all that are left are needed.
    The best of ``repetitions`` counts. It sees decisions alone, so binarized or otherwise flat
    scores do not stop it; at most ``levels`` queries for the noise of a repetition.

    Args:
        model: View to attack.
        repetitions: Times to start anew; the authors took 10.
        levels: Shares of noise to try, from 1 / levels to 1.

    Raises:
        ConfigError: If an argument is below 1.
    """

    def __init__(self, model: nn.Module, repetitions: int = 10, levels: int = 100) -> None:
        super().__init__(model)
        check_at_least("repetitions", repetitions, 1)
        check_at_least("levels", levels, 1)
        self.repetitions, self.levels = repetitions, levels

    def search(self, x: Images, goals: Labels, draws: Draws) -> Images:
        """The broken image of the fewest changed pixels; the clean one where no noise broke it."""
        best = x.clone()
        fewest = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
        for _ in range(self.repetitions):
            own = _stream(draws)
            order = own.uniform(x[0, 0].numel())
            found, found_at = self._start(x, goals, own)
            place = (found_at >= 0).nonzero().flatten()
            found = self._reduced(x[place], found[place], goals[place], order[place])
            changed = distance(x[place], found, "L0")
            better = changed < fewest[place]
            best[place[better]], fewest[place[better]] = found[better], changed[better]
        return best

    def _start(self, x: Images, goals: Labels, draws: Draws) -> tuple[Images, Labels]:
        def noise(place: Int64[Tensor, " m"], draws: Draws, k: int) -> Images:
            share = (k + 1) / self.levels
            random = draws.uniform(1, *x.shape[2:])
            return torch.where(random < share, (random < share / 2).to(x.dtype), x[place])

        return self.first_success(x, goals, draws, self.levels, noise)

    def _reduced(
        self, x: Images, found: Images, goals: Labels, order: Float[Tensor, "n p"]
    ) -> Images:
        """Broken images of which no changed pixel can go back alone."""
        result = found.clone()
        going = torch.arange(len(x), device=x.device)
        while len(going):
            result[going], went_back = self._walk(
                x[going], result[going], goals[going], order[going]
            )
            going = going[went_back]
        return result

    def _walk(
        self, x: Images, found: Images, goals: Labels, order: Float[Tensor, "n p"]
    ) -> tuple[Images, Bool[Tensor, " n"]]:
        """Each changed pixel once, in ascending order; and where any went back."""
        clean, result = x.flatten(2), found.flatten(2).clone()
        changed = (clean != result).any(dim=1)
        counts = changed.sum(dim=1)
        queue = torch.where(changed, order, torch.inf).argsort(dim=1)
        went_back = torch.zeros_like(counts, dtype=torch.bool)
        for k in range(int(counts.amax())):
            place = (counts > k).nonzero().flatten()
            rows, pixels = torch.arange(len(place), device=x.device), queue[place, k]
            candidates = result[place]
            candidates[rows, :, pixels] = clean[place, :, pixels]
            broken = self.broken(candidates.view(-1, *x.shape[1:]), goals[place])
            result[place[broken]] = candidates[broken]
            went_back[place[broken]] = True
        return result.view(x.shape), went_back


def _stream(draws: Draws) -> Draws:
    """A stream of its own for each image, seeded by the next of its numbers."""
    high, low = (draws.uniform(2).double() * 2**24).long().unbind(dim=1)
    return Draws(high * 2**24 + low)
