"""Random numbers that belong to a sample, whoever shares its batch."""

from functools import lru_cache
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@final
class Draws:
    """Random numbers of each sample, the same whoever shares the batch with it.

    A counter-based generator: each number is a hash of the sample's seed and its place in the
    stream (splitmix64, Steele et al. 2014, https://doi.org/10.1145/2660193.2660195), so all samples
    are drawn for at once and a sample's stream does not depend on the others.

    Args:
        seeds: One seed a sample; samples of equal seeds get equal numbers.
    """

    def __init__(self, seeds: Int64[Tensor, " n"]) -> None:
        self._seeds = seeds
        self._place = torch.zeros_like(seeds)

    def uniform(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Numbers in [0, 1), float32, of shape (n, *shape)."""
        count = int(torch.Size(shape).numel())
        places = self._place.view(-1, 1) + torch.arange(count, device=self._seeds.device)
        self._place = self._place + count
        bits = _splitmix64(_splitmix64(self._seeds.view(-1, 1)) + places)
        # The upper 24 bits: as many as a float32 in [0, 1) holds exactly.
        numbers = bits.bitwise_right_shift_(40).bitwise_and_(0xFFFFFF).to(torch.float32)
        return numbers.mul_(2.0**-24).view(-1, *shape)

    def normal(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Standard normal numbers, float32, of shape (n, *shape).

        They are the same to 2e-6 in every batch and on every device: hardware rounds logarithm and
        cosine, where `uniform` is the same bit for bit. Both numbers of each pair of Box and Muller
        1958. Pairs lie within the last dimension, so shape (2, 5) gives what (5,) gives twice.
        """
        *outer, size = shape or (1,)
        first, second = self.uniform(*outer, 2, (size + 1) // 2).unbind(dim=-2)
        radius, angle = torch.log1p(-first).mul_(-2).sqrt_(), second * (2 * torch.pi)
        pairs = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=-1)
        return pairs[..., :size].reshape(-1, *shape)

    def window(self, size: int) -> Float[Tensor, "n size"]:
        """Standard normal numbers, float32, out of a table that all samples share.

        Each is the next ``size`` numbers from a random one of 2**20 places of the table on
        (Salimans et al. 2017, https://arxiv.org/abs/1703.03864, share noise so). A copy of memory,
        some 50 times faster than `normal`, for attacks that need a direction for each of tens of
        thousands of queries: two of them rarely overlap, and where they do the numbers stand at
        other pixels.
        """
        bits = _splitmix64(_splitmix64(self._seeds) + self._place)
        self._place = self._place + 1
        start = _shifted(bits, 64 - _WINDOWS.bit_length() + 1)
        return _table(size, self._seeds.device).unfold(0, size, 1).index_select(0, start)

    def sign(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Numbers -1 or 1, float32, of shape (n, *shape)."""
        return torch.where(self.uniform(*shape) < 0.5, -1.0, 1.0)

    def __getitem__(self, chosen: Tensor) -> "Draws":
        """The streams of some samples, by mask or index, from where they are; a copy."""
        part = Draws(self._seeds[chosen])
        part._place = self._place[chosen]
        return part


@lru_cache(maxsize=4)
def _table(size: int, device: torch.device) -> Float[Tensor, " _"]:
    """Enough numbers for windows of a size; those of a smaller one are the first of them."""
    rows = -(-(_WINDOWS + size) // _ROW)
    # Made on the CPU, so that every device has the same.
    return Draws(torch.zeros(1, dtype=torch.int64)).normal(rows, _ROW).flatten().to(device)


def sample_seeds(seed: int, index: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """A seed for each sample, of a common seed and the sample's place in its dataset."""
    return _splitmix64(index).bitwise_xor(seed)


def _splitmix64(x: Int64[Tensor, "..."]) -> Int64[Tensor, "..."]:
    """The finalizer of splitmix64 on 64-bit integers, which wrap around as it needs."""
    x = x + _GOLDEN  # a copy: what follows works in place
    x ^= _shifted(x, 30)
    x *= _MULTIPLIERS[0]
    x ^= _shifted(x, 27)
    x *= _MULTIPLIERS[1]
    x ^= _shifted(x, 31)
    return x


def _shifted(x: Int64[Tensor, "..."], bits: int) -> Int64[Tensor, "..."]:
    # torch has no unsigned shift: clear the copies of the sign.
    return x.bitwise_right_shift(bits).bitwise_and_(2 ** (64 - bits) - 1)


def _signed(x: int) -> int:
    return x - 2**64 if x >= 2**63 else x


_WINDOWS = 2**20
_ROW = 1024
_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MULTIPLIERS = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))
