"""Loaders decide which samples are in which batch, on each of many devices."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from robust.data.files.workers import in_order
from robust.data.samples import Indices, Pixels, Samples, StoredImages, take
from robust.errors import ConfigError
from robust.types import Batch, Labels

Positions = Indices
Crop = Callable[[Pixels, Positions, Positions, int], Pixels]


class CopiedBatch(NamedTuple):
    """This batch has images as bytes, and which copy each is to become; 0 for the image itself.

    It stays between the loader and the data module, which makes a `robust.types.Batch` of it.
    """

    x: Pixels
    y: Labels
    index: Tensor  # type: ignore[assignment] # a column, not tuple's method
    copy: Tensor
    epoch: int


class Source:
    """A source has some samples of a set 1 + ``copies`` times; copies are made when taken.

    Args:
        samples: All of the set.
        index: Of those to take in ``samples``.
        copies: Further times that each sample is given.
        crop: Images, their index, the numbers of their copies and the epoch to what is given of
            them; all of them if None.
    """

    def __init__(
        self, samples: Samples, index: Positions, copies: int = 0, crop: Crop | None = None
    ) -> None:
        self.samples = samples
        self.index = index
        self.copies = copies
        self.crop = crop

    def __len__(self) -> int:
        return len(self.index) * (1 + self.copies)

    def take(self, numbers: Positions, epoch: int = 0) -> Batch | CopiedBatch:
        """Return samples by ``numbers`` below the length; those of one image are neighbours."""
        times = 1 + self.copies
        index = self.index[numbers // times]
        x = take(self.samples.x, index)
        y = self.samples.y[index]
        copy = numbers % times
        if self.crop is not None:
            x = self.crop(x, index, copy, epoch)
        if not self.copies:
            return Batch(x, y, index)
        return CopiedBatch(x, y, index, copy, epoch)

    def batches(self, pieces: Sequence[Positions], epoch: int = 0) -> Iterator[Batch | CopiedBatch]:
        """Yield what `take` gives of each piece, read ahead where images are stored elsewhere."""
        x = self.samples.x
        workers = x.workers if isinstance(x, StoredImages) else 0
        return in_order(partial(self.take, epoch=epoch), pieces, workers)


def split(n: int, fraction: float, seed: int) -> tuple[Positions, Positions]:
    """Return the index of the ``n`` training samples to train on, and of those to validate on.

    A ``fraction`` above 0 holds out at least one sample and leaves at least one.
    """
    held_out = min(max(1, round(n * fraction)), n - 1) if fraction else 0
    order = _permutation(n, [seed]).long()
    return order[held_out:].sort().values, order[:held_out].sort().values


def evaluation_pieces(n: int, batch_size: int, rank: int, world: int) -> list[slice]:
    """Return the batches of one of ``world`` ranks, which together have each sample once.

    A collective call in an evaluation step waits for every rank, so all need the same number of
    batches. Most steps fail on an empty batch. Where both cannot be had within ``batch_size`` (1,
    and more than one rank), some batches hold one sample more. With fewer samples than ranks, some
    are empty.
    """
    batches = math.ceil(n / (batch_size * world))
    if n:
        batches = max(1, min(batches, n // world))
    pieces = batches * world
    bounds = [piece * n // pieces for piece in range(pieces + 1)] if pieces else []
    return [slice(bounds[i], bounds[i + 1]) for i in range(rank, pieces, world)]


def _permutation(n: int, seed: list[int]) -> Int32[Tensor, " n"]:
    # RandomState's stream is frozen; that of torch and of numpy's Generator may change.
    order = np.arange(n, dtype=np.int32)  # half the memory of `permutation`, in the same order
    np.random.RandomState(seed).shuffle(order)
    return torch.from_numpy(order)


class Share(NamedTuple):
    """A share says which part of every epoch is this process's."""

    rank: int
    world: int


class EvaluationLoader:
    """This loader has every sample once over all ranks, in order (see `evaluation_pieces`)."""

    def __init__(self, source: Source, batch_size: int, share: Share) -> None:
        self._source = source
        self._pieces = evaluation_pieces(len(source), batch_size, *share)

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[Batch | CopiedBatch]:
        pieces = [torch.arange(piece.start, piece.stop) for piece in self._pieces]
        yield from self._source.batches(pieces)


class TrainingLoader:
    """This loader gives an epoch an iteration, in an order of ``seed`` and the epoch alone.

    The permutation is cut to a multiple of the number of ranks, of which each takes its stride. So
    every rank has as many batches. Batch normalization cannot train on a single sample, so a last
    batch of one joins the batch before. Lightning keeps ``state_dict`` in its
    checkpoints, and a resumed run goes on with the very next batch.

    Args:
        source: What to take from.
        batch_size: Samples per batch and rank; the last batch may be shorter, or one longer.
        seed: 0 to 2**32 - 1.
        share: Rank and number of ranks.
        first_epoch: Number of the first iteration; each one after it is the next epoch.
        limit: Says after how many batches an epoch ends early (Lightning's ``limit_train_batches``,
            resolved only after the loader is made).

    Raises:
        ConfigError: If there are fewer samples than ranks.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        seed: int,
        share: Share,
        first_epoch: int = 0,
        limit: Callable[[], float] = lambda: math.inf,
    ) -> None:
        if len(source) < share.world:
            raise ConfigError(
                f"Expected at least one training sample per device, but got {len(source)} for "
                f"{share.world} devices. Lower `trainer.devices`."
            )
        self._source = source
        self._batch_size = batch_size
        self._seed = seed
        self._share = share
        self._limit = limit
        self._epoch = first_epoch
        self._next_batch = 0
        self._resumed = False

    def __len__(self) -> int:
        batches, rest = divmod(len(self._source) // self._share.world, self._batch_size)
        return batches + (rest > 1 or (rest == 1 and batches == 0))

    def __iter__(self) -> Iterator[Batch | CopiedBatch]:
        # A generator on purpose: nothing here runs before the first `next`. Lightning also calls
        # `iter` without reading, and before it has restored the state.
        abandoned = self._next_batch > 0 and not self._resumed
        epoch = self._epoch + 1 if abandoned else self._epoch
        first = self._next_batch if self._resumed else 0
        self._resumed = False
        order = self._order(epoch)
        batches = range(first, len(self))
        pieces = [self._piece(order, batch) for batch in batches]
        for batch, taken in zip(batches, self._source.batches(pieces, epoch), strict=True):
            last = batch + 1 >= min(len(self), self._limit())
            self._epoch, self._next_batch = (epoch + 1, 0) if last else (epoch, batch + 1)
            yield taken

    def _piece(self, order: Int32[Tensor, " _"], batch: int) -> Positions:
        start = batch * self._batch_size
        stop = None if batch + 1 == len(self) else start + self._batch_size
        return order[start:stop].long()

    def state_dict(self) -> dict[str, int]:
        """Return where to go on after the last batch that was given."""
        return {"epoch": self._epoch, "next_batch": self._next_batch, "batches": len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next iteration go on from ``state``.

        Raises:
            ConfigError: If an epoch was left halfway and had another number of batches than now.
        """
        if state["next_batch"] and state["batches"] != len(self):
            raise ConfigError(
                f"Expected to resume an epoch of {state['batches']} batches after batch "
                f"{state['next_batch']}, but got one of {len(self)}. Resume with the data, "
                "`batch_size` and number of devices of the checkpoint, or from the end of an epoch."
            )
        self._epoch, self._next_batch = state["epoch"], state["next_batch"]
        self._resumed = True

    def _order(self, epoch: int) -> Int32[Tensor, " _"]:
        n, (rank, world) = len(self._source), self._share
        return _permutation(n, [self._seed, epoch])[rank : n - n % world : world]
