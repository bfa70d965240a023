"""Random numbers belong to a sample, and do not depend on the others of its batch."""

from functools import lru_cache
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@final
class RandomStreams:
    """RandomStreams has one random stream a sample, which does not depend on the other samples.

    It is a counter-based generator: each number is a hash of the sample's seed and a counter
    (splitmix64, Steele et al. 2014, https://doi.org/10.1145/2660193.2660195). So the numbers of all
    samples are made at once.

    Args:
        seeds: One seed a sample; samples of equal seeds get equal numbers.
    """

    def __init__(self, seeds: Int64[Tensor, " n"]) -> None:
        self._seeds = seeds
        self._counter = torch.zeros_like(seeds)

    def uniform(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Return uniform numbers in [0, 1), float32, of shape (n, *shape)."""
        count = int(torch.Size(shape).numel())
        counters = self._counter.view(-1, 1) + torch.arange(count, device=self._seeds.device)
        self._counter = self._counter + count
        bits = _splitmix64(_splitmix64(self._seeds.view(-1, 1)) + counters)
        # The upper 24 bits: as many as a float32 in [0, 1) holds exactly.
        numbers = bits.bitwise_right_shift_(40).bitwise_and_(0xFFFFFF).to(torch.float32)
        return numbers.mul_(2.0**-24).view(-1, *shape)

    def normal(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Return standard normal numbers, float32, of shape (n, *shape).

        They are the same to 2e-6 in every batch and on every device, since hardware rounds
        logarithm and cosine. Numbers of `uniform` are the same bit for bit. These are both numbers
        of each pair of Box and Muller 1958. Pairs lie within the last dimension, so shape (2, 5)
        gives what (5,) gives twice.
        """
        *outer, size = shape or (1,)
        first, second = self.uniform(*outer, 2, (size + 1) // 2).unbind(dim=-2)
        radius, angle = torch.log1p(-first).mul_(-2).sqrt_(), second * (2 * torch.pi)
        pairs = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=-1)
        return pairs[..., :size].reshape(-1, *shape)

    def window(self, size: int) -> Float[Tensor, "n size"]:
        """Return standard normal numbers, float32, out of a table that all samples share.

        Each sample gets ``size`` numbers of the table from a random one of 2**20 starts on.
        Salimans et al. 2017 (https://arxiv.org/abs/1703.03864) share noise so. A window is a copy
        of memory, some 50 times faster than `normal`. It is for attacks that need a direction for
        each of tens of thousands of queries. Two windows rarely overlap, and if they do, the
        numbers are those of other pixels.
        """
        bits = _splitmix64(_splitmix64(self._seeds) + self._counter)
        self._counter = self._counter + 1
        start = _shifted(bits, 64 - _WINDOWS.bit_length() + 1)
        return _table(size, self._seeds.device).unfold(0, size, 1).index_select(0, start)

    def sign(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Return numbers -1 or 1, float32, of shape (n, *shape)."""
        return torch.where(self.uniform(*shape) < 0.5, -1.0, 1.0)

    def __getitem__(self, chosen: Tensor) -> "RandomStreams":
        """Return a copy of the streams of some samples, by mask or index, at their counters."""
        part = RandomStreams(self._seeds[chosen])
        part._counter = self._counter[chosen]
        return part


@lru_cache(maxsize=4)
def _table(size: int, device: torch.device) -> Float[Tensor, " _"]:
    """Return enough numbers for windows of a size; a smaller table is the beginning of it."""
    rows = -(-(_WINDOWS + size) // _ROW)
    # Computed on the CPU, so that every device has the same.
    return RandomStreams(torch.zeros(1, dtype=torch.int64)).normal(rows, _ROW).flatten().to(device)


def sample_seeds(seed: int, index: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Return a seed for each sample, of a common seed and the sample's index in its data set."""
    return _splitmix64(index).bitwise_xor(seed)


def _splitmix64(x: Int64[Tensor, "..."]) -> Int64[Tensor, "..."]:
    """Apply the finalizer of splitmix64 to 64-bit integers, which wrap around as it needs."""
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
