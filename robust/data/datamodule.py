"""One data module for every image set: bytes in memory, sliced by batch, exact on many devices."""

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from lightning.pytorch import LightningDataModule
from torch import Tensor

from robust.data.datasets import (
    DATASETS,
    Dataset,
    Pixels,
    Samples,
    check_name,
    load_named,
    load_npz,
)
from robust.errors import ConfigError
from robust.types import Batch

Positions = Int64[Tensor, " _"]


def split(n: int, fraction: float, seed: int) -> tuple[Positions, Positions]:
    """Positions of the ``n`` training samples to train on, and of those to validate on.

    A ``fraction`` above 0 holds out at least one sample and leaves at least one.
    """
    held_out = min(max(1, round(n * fraction)), n - 1) if fraction else 0
    order = _permutation(n, [seed])
    return order[held_out:].sort().values, order[:held_out].sort().values


def evaluation_pieces(n: int, batch_size: int, rank: int, world: int) -> list[slice]:
    """The batches of one of ``world`` ranks: together each of ``n`` samples once, as many on each.

    A collective call in an evaluation step waits for every rank, so all need the same number of
    batches, and an empty one breaks most steps. Where both cannot be had within ``batch_size`` (1,
    and more than one rank), some batches hold one sample more. With fewer samples than ranks, some
    are empty.
    """
    batches = math.ceil(n / (batch_size * world))
    if n:
        batches = max(1, min(batches, n // world))
    pieces = batches * world
    bounds = [piece * n // pieces for piece in range(pieces + 1)] if pieces else []
    return [slice(bounds[i], bounds[i + 1]) for i in range(rank, pieces, world)]


def _permutation(n: int, seed: list[int]) -> Positions:
    # RandomState's stream is frozen; that of torch and of numpy's Generator may change.
    return torch.from_numpy(np.random.RandomState(seed).permutation(n).astype(np.int64, copy=False))


def _to_unit_interval(x: Pixels) -> Float[Tensor, "n c h w"]:
    if x.is_cpu:
        # On this thread alone: where other processes keep the cores busy, waking torch's threads
        # takes longer than a batch.
        return torch.from_numpy(np.divide(x.numpy(), np.float32(255), dtype=np.float32))
    # By a tensor: CUDA multiplies by the inverse of a number, whose pixels differ from the CPU's.
    return x.float().div_(torch.full((), 255.0, device=x.device))


def _take(samples: Samples, index: Positions) -> Batch:
    # Copies whole images: an eighth of the time of `x[index]`.
    x = torch.from_numpy(samples.x.numpy().take(index.numpy(), axis=0))
    return Batch(x, samples.y[index], index)


class _Share(NamedTuple):
    """Which part of every epoch is this process's."""

    rank: int
    world: int


class EvaluationLoader:
    """Batches in order, every sample exactly once over all ranks (see `evaluation_pieces`)."""

    def __init__(self, samples: Samples, index: Positions, batch_size: int, share: _Share) -> None:
        self._samples = samples
        self._index = index
        self._pieces = evaluation_pieces(len(index), batch_size, *share)

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[Batch]:
        for piece in self._pieces:
            yield _take(self._samples, self._index[piece])


class TrainingLoader:
    """One epoch an iteration, in an order that follows from ``seed`` and the epoch alone.

    The permutation is cut to a multiple of the number of ranks, of which each takes its stride, so
    every rank has as many batches. Lightning keeps ``state_dict`` in its checkpoints, and a resumed
    run goes on with the very next batch.

    Args:
        samples: What to take from.
        index: Positions in ``samples`` to train on.
        batch_size: Samples per batch and rank; the last batch may be shorter.
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
        samples: Samples,
        index: Positions,
        batch_size: int,
        seed: int,
        share: _Share,
        first_epoch: int = 0,
        limit: Callable[[], float] = lambda: math.inf,
    ) -> None:
        if len(index) < share.world:
            raise ConfigError(
                f"Expected at least one training sample per device, but got {len(index)} for "
                f"{share.world} devices. Lower `trainer.devices`."
            )
        self._samples = samples
        self._index = index
        self._batch_size = batch_size
        self._seed = seed
        self._share = share
        self._limit = limit
        self._epoch = first_epoch
        self._next_batch = 0
        self._resumed = False

    def __len__(self) -> int:
        return math.ceil(len(self._index) // self._share.world / self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # A generator on purpose: nothing here runs before the first `next`. Lightning also calls
        # `iter` without reading, and before it has restored the state.
        abandoned = self._next_batch > 0 and not self._resumed
        epoch = self._epoch + 1 if abandoned else self._epoch
        first = self._next_batch if self._resumed else 0
        self._resumed = False
        order = self._order(epoch)
        for batch in range(first, len(self)):
            last = batch + 1 >= min(len(self), self._limit())
            self._epoch, self._next_batch = (epoch + 1, 0) if last else (epoch, batch + 1)
            start = batch * self._batch_size
            yield _take(self._samples, order[start : start + self._batch_size])

    def state_dict(self) -> dict[str, int]:
        """The place after the last batch that was handed out."""
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

    def _order(self, epoch: int) -> Positions:
        n, (rank, world) = len(self._index), self._share
        shuffled = _permutation(n, [self._seed, epoch])
        return self._index[shuffled[rank : n - n % world : world]]


class ImageDataModule(LightningDataModule):
    """Images of one set, as bytes in memory until they are on the device, then float32 in [0, 1].

    A batch is a `robust.types.Batch`; its ``index`` counts in the original training array for
    training and validation, in the test array for test.

    Args:
        dataset: ``mnist``, ``fashion_mnist``, ``cifar10``, ``digits`` (scikit-learn's, needs no
            download), or the path of an ``.npz`` file with uint8 images ``x_train``, ``x_test``,
            (N, H, W) or (N, H, W, C), and integer labels ``y_train``, ``y_test`` from 0 on.
        root: Folder of the named sets, in torchvision's layout; CIFAR-10 also as ``cifar10.npz``.
            The environment variable ``ROBUST_DATA_DIR`` overrides it.
        batch_size: Training samples per batch and device.
        eval_batch_size: Validation and test samples per batch and device.
        val_fraction: Share of the training set held out for validation, in [0, 1).
        seed: Fixes that split and the order of training batches; 0 to 2**32 - 1.

    Attributes:
        name: Of the set; for a file, without folder and suffix.
        shape: (C, H, W) of an image.
        num_classes: Labels are smaller than this.

    Raises:
        ConfigError: If an argument is out of range, or the ``.npz`` file cannot be used.
    """

    def __init__(
        self,
        dataset: str = "mnist",
        root: str = "data",
        batch_size: int = 128,
        eval_batch_size: int = 500,
        val_fraction: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_at_least_one("batch_size", batch_size)
        _check_at_least_one("eval_batch_size", eval_batch_size)
        if not 0 <= val_fraction < 1:
            raise ConfigError(
                f"Expected `val_fraction` in [0, 1), but got {val_fraction}. "
                "Give 0.05 to hold out 5% of the training set, or 0 for none."
            )
        if not 0 <= seed < 2**32:
            raise ConfigError(
                f"Expected `seed` to be 0 to 2**32 - 1, but got {seed}. Choose another one."
            )
        self.dataset = dataset
        self.root = Path(os.environ.get("ROBUST_DATA_DIR") or root).expanduser()
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.val_fraction = val_fraction
        self.seed = seed
        self._data: Dataset | None = None
        if dataset.endswith(".npz"):
            path = Path(dataset).expanduser()
            self._data = load_npz(path)
            self.name: str = path.stem
            self.shape = _shape(self._data.train.x)
            self.num_classes = int(max(part.y.max() for part in self._data)) + 1
        else:
            check_name(dataset)
            self.name = dataset
            self.shape = DATASETS[dataset].shape
            self.num_classes = DATASETS[dataset].num_classes

    def prepare_data(self) -> None:
        """Download a named set unless it is in ``root``.

        Raises:
            ConfigError: If it is not there and cannot be downloaded.
        """
        if self._data is None and (download := DATASETS[self.dataset].download) is not None:
            download(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Read the set into memory, once.

        Raises:
            ConfigError: If its files are missing or damaged.
        """
        if self._data is None:
            self._data = load_named(self.dataset, self.root)
        if self.trainer is not None and stage == "fit" and self.val_fraction == 0:
            # Lightning warns of any empty validation loader, also of an empty list of them.
            self.trainer.limit_val_batches = 0

    def train_dataloader(self) -> TrainingLoader | EvaluationLoader:
        """Shuffled anew every epoch; in fixed order under Lightning's ``overfit_batches``."""
        train = self._loaded().train
        index, _ = split(len(train.y), self.val_fraction, self.seed)
        trainer = self.trainer
        if trainer is None:
            return TrainingLoader(train, index, self.batch_size, self.seed, self._share())
        if trainer.overfit_batches > 0:  # type: ignore[attr-defined]
            return EvaluationLoader(train, index, self.batch_size, self._share())
        return TrainingLoader(
            train,
            index,
            self.batch_size,
            self.seed,
            self._share(),
            # Of a run resumed at the end of an epoch, where Lightning restores no loader's state.
            first_epoch=trainer.fit_loop.epoch_progress.current.processed,  # type: ignore[attr-defined]
            limit=lambda: trainer.num_training_batches,
        )

    def val_dataloader(self) -> EvaluationLoader | list[EvaluationLoader]:
        """The held-out training samples in order; no loader if ``val_fraction`` is 0."""
        train = self._loaded().train
        _, index = split(len(train.y), self.val_fraction, self.seed)
        if not len(index):
            return []
        return EvaluationLoader(train, index, self.eval_batch_size, self._share())

    def test_dataloader(self) -> EvaluationLoader:
        """The test set in order."""
        test = self._loaded().test
        index = torch.arange(len(test.y))
        return EvaluationLoader(test, index, self.eval_batch_size, self._share())

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Bytes to float32 in [0, 1], on the device: a quarter of the bytes travel there."""
        return batch._replace(x=_to_unit_interval(batch.x))

    @property
    def test_size(self) -> int:
        """Number of test samples."""
        return len(self._loaded().test.y)

    def test_samples(self, start: int, stop: int) -> Batch:
        """Test samples ``start`` to ``stop - 1`` on the CPU, float32 in [0, 1].

        Raises:
            ConfigError: If the test set does not reach that far.
        """
        batch = _take(self._test_range(start, stop), torch.arange(stop - start))
        return Batch(_to_unit_interval(batch.x), batch.y, batch.index + start)

    def fingerprint(self, stop: int) -> str:
        """16 hex digits that two runs share if their first ``stop`` test samples are the same.

        Raises:
            ConfigError: If the test set does not reach that far.
        """
        x, y = self._test_range(0, stop)
        digest = hashlib.sha256(repr(tuple(x.shape)).encode())
        digest.update(x.numpy().tobytes())
        digest.update(y.numpy().tobytes())
        return digest.hexdigest()[:16]

    def _test_range(self, start: int, stop: int) -> Samples:
        test = self._loaded().test
        if not 0 <= start <= stop <= len(test.y):
            raise ConfigError(
                f"Expected a range within the {len(test.y)} test samples of {self.name}, but got "
                f"{start} to {stop}. Ask for at most {len(test.y)} samples."
            )
        return Samples(test.x[start:stop], test.y[start:stop])

    def _loaded(self) -> Dataset:
        self.setup()
        assert self._data is not None
        return self._data

    def _share(self) -> _Share:
        if self.trainer is None:
            return _Share(0, 1)
        return _Share(self.trainer.global_rank, self.trainer.world_size)


def _check_at_least_one(argument: str, value: int) -> None:
    if value < 1:
        raise ConfigError(
            f"Expected `{argument}` to be at least 1, but got {value}. "
            "Give the number of images per batch and device."
        )


def _shape(x: Pixels) -> tuple[int, int, int]:
    _, channels, height, width = x.shape
    return channels, height, width
