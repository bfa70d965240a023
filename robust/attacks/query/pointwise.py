"""The pointwise attack changes the few pixels that a walk back from noise leaves.

Schott et al. 2019, https://arxiv.org/abs/1805.09190, section 4.
"""

from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.attacks.base import RandomStreams
from robust.attacks.query.base import QueryAttack
from robust.errors import check_at_least
from robust.threat import distance
from robust.types import Images, Labels


@final
class Pointwise(QueryAttack):
    """Pointwise adds salt-and-pepper noise and takes back every pixel that is not needed.

    Noise sets a growing share of the pixels to 0 or 1, with equal odds and in all channels, until
    the class changes. Then the changed pixels follow in random order. Each becomes clean again if
    the image stays misclassified without it. This repeats until all that are left are needed. The
    best of ``repetitions`` counts. The attack sees decisions alone, so binarized or otherwise flat
    scores do not stop it. The noise of a repetition takes at most ``levels`` queries.

    Args:
        model: View to attack.
        repetitions: Times to start; the authors took 10.
        levels: Shares of noise to try, from 1 / levels to 1.

    Raises:
        ConfigError: If an argument is below 1.
    """

    def __init__(self, model: nn.Module, repetitions: int = 10, levels: int = 100) -> None:
        super().__init__(model)
        check_at_least("repetitions", repetitions, 1)
        check_at_least("levels", levels, 1)
        self.repetitions, self.levels = repetitions, levels

    def search(self, x: Images, goals: Labels, streams: RandomStreams) -> Images:
        """Return the success of the fewest changed pixels; the clean image if no noise succeeds."""
        best = x.clone()
        fewest = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
        for _ in range(self.repetitions):
            own = _stream(streams)
            order = own.uniform(x[0, 0].numel())
            found, found_at = self._start(x, goals, own)
            index = (found_at >= 0).nonzero().flatten()
            found = self._reduced(x[index], found[index], goals[index], order[index])
            changed = distance(x[index], found, "L0")
            better = changed < fewest[index]
            best[index[better]], fewest[index[better]] = found[better], changed[better]
        return best

    def _start(self, x: Images, goals: Labels, streams: RandomStreams) -> tuple[Images, Labels]:
        def noise(index: Int64[Tensor, " m"], streams: RandomStreams, k: int) -> Images:
            share = (k + 1) / self.levels
            random = streams.uniform(1, *x.shape[2:])
            return torch.where(random < share, (random < share / 2).to(x.dtype), x[index])

        return self.first_success(x, goals, streams, self.levels, noise)

    def _reduced(
        self, x: Images, found: Images, goals: Labels, order: Float[Tensor, "n p"]
    ) -> Images:
        """Return misclassified images of which no changed pixel can go back alone."""
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
        """Try each changed pixel once, in ascending order, and say where any went back."""
        clean, result = x.flatten(2), found.flatten(2).clone()
        changed = (clean != result).any(dim=1)
        counts = changed.sum(dim=1)
        queue = torch.where(changed, order, torch.inf).argsort(dim=1)
        went_back = torch.zeros_like(counts, dtype=torch.bool)
        for k in range(int(counts.amax())):
            index = (counts > k).nonzero().flatten()
            rows, pixels = torch.arange(len(index), device=x.device), queue[index, k]
            candidates = result[index]
            candidates[rows, :, pixels] = clean[index, :, pixels]
            success = self.succeeds(candidates.view(-1, *x.shape[1:]), goals[index])
            result[index[success]] = candidates[success]
            went_back[index[success]] = True
        return result.view(x.shape), went_back


def _stream(streams: RandomStreams) -> RandomStreams:
    """Return a new stream for each image, seeded by the next of its numbers."""
    high, low = (streams.uniform(2).double() * 2**24).long().unbind(dim=1)
    return RandomStreams(high * 2**24 + low)
