"""One data module for every image set: bytes in memory, sliced by batch, exact on many devices."""

import hashlib
import os

import numpy as np
import torch
from jaxtyping import Float
from lightning.pytorch import LightningDataModule
from torch import Tensor

from robust.data.augmentation import GaussianAugmentation, RandomCrops
from robust.data.datasets import (
    DATASETS,
    Dataset,
    Pixels,
    Samples,
    check_name,
    load_named,
    load_npz,
)
from robust.data.loaders import (
    CopiedBatch,
    EvaluationLoader,
    Positions,
    Share,
    Source,
    TrainingLoader,
    split,
)
from robust.data.training_set import TrainingSet
from robust.errors import ConfigError
from robust.io.text_files import expanded
from robust.types import Batch, Labels


def _to_unit_interval(x: Pixels) -> Float[Tensor, "n c h w"]:
    if x.is_cpu:
        # On this thread alone: where other processes keep the cores busy, waking torch's threads
        # takes longer than a batch.
        return torch.from_numpy(np.divide(x.numpy(), np.float32(255), dtype=np.float32))
    # By a tensor: CUDA multiplies by the inverse of a number, whose pixels differ from the CPU's.
    return x.float().div_(torch.full((), 255.0, device=x.device))


class ImageDataModule(LightningDataModule):
    """Images of one set, as bytes in memory until they are on the device, then float32 in [0, 1].

    A batch is a `robust.types.Batch`; its ``index`` counts in the original training array for
    training and validation, in the test array for test.

    Example:
        >>> data = robust.ImageDataModule("digits")
        >>> data.shape, data.num_classes, data.test_size
        ((1, 28, 28), 10, 360)

    Args:
        dataset: ``mnist``, ``fashion_mnist``, ``cifar10``, ``digits`` (scikit-learn's, needs no
            download), ``circles`` and ``moons`` (points of the plane, see `robust.data.toy`). Or
            it is the path of an ``.npz`` file. That has uint8 images ``x_train``, ``x_test``,
            (N, H, W) or (N, H, W, C), and integer labels ``y_train``, ``y_test`` from 0 on.
        root: Folder of the named sets, in torchvision's layout; CIFAR-10 also as ``cifar10.npz``.
            The environment variable ``ROBUST_DATA_DIR`` overrides it.
        batch_size: Training samples per batch and device.
        eval_batch_size: Validation and test samples per batch and device.
        val_fraction: Share of the training set held out for validation, in [0, 1).
        seed: Fixes that split, the order of training batches and the noise upon them; 0 to
            2**32 - 1. Crops follow from it too.
        augmentation: Adds noisy copies to the training samples; none if None. Validation and test
            samples stay as they are.
        training_set: Trains on transformed images; on the originals if None.
        crops: Trains on random crops of the images, others in every epoch; on the images if None.

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
        augmentation: GaussianAugmentation | None = None,
        training_set: TrainingSet | None = None,
        crops: RandomCrops | None = None,
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
        self.root = expanded(os.environ.get("ROBUST_DATA_DIR") or root)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.val_fraction = val_fraction
        self.seed = seed
        self.augmentation = augmentation
        self.training_set = training_set
        self.crops = crops
        self._train: Samples | None = None
        self._data: Dataset | None = None
        if dataset.endswith(".npz"):
            path = expanded(dataset)
            self._data = load_npz(path)
            self.name: str = path.stem
            self.shape = _shape(self._data.train.x)
            self.num_classes = int(max(part.y.max() for part in self._data)) + 1
        else:
            check_name(dataset)
            self.name = dataset
            self.shape = DATASETS[dataset].shape
            self.num_classes = DATASETS[dataset].num_classes
        if crops is not None:
            crops.check_fit(self.shape)

    def prepare_data(self) -> None:
        """Download a named set unless it is in ``root``; before training, make its `training_set`.

        Raises:
            ConfigError: If it is not there and cannot be downloaded, or as `TrainingSet.samples`.
        """
        if self._data is None and (download := DATASETS[self.dataset].download) is not None:
            download(self.root)
        if self.trainer is not None and self.trainer.state.fn == "fit":
            self.trained_samples()

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
        """Shuffled again every epoch; in fixed order under Lightning's ``overfit_batches``.

        There, the copies of an image follow it, with the same noise in every epoch.
        """
        train, index = self.trained_samples()
        copies = self.augmentation.copies if self.augmentation else 0
        source = Source(train, index, copies, self._crop if self.crops else None)
        trainer = self.trainer
        if trainer is None:
            return TrainingLoader(source, self.batch_size, self.seed, self._share())
        if trainer.overfit_batches > 0:  # type: ignore[attr-defined]
            return EvaluationLoader(source, self.batch_size, self._share())
        return TrainingLoader(
            source,
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
        return EvaluationLoader(Source(train, index), self.eval_batch_size, self._share())

    def test_dataloader(self) -> EvaluationLoader:
        """The test set in order."""
        test = self._loaded().test
        source = Source(test, torch.arange(len(test.y)))
        return EvaluationLoader(source, self.eval_batch_size, self._share())

    def on_after_batch_transfer(self, batch: Batch | CopiedBatch, dataloader_idx: int) -> Batch:
        """Bytes to float32 in [0, 1], on the device: a quarter of the bytes travel there.

        Copies get their noise, and may leave [0, 1].
        """
        x = _to_unit_interval(batch.x)
        if isinstance(batch, CopiedBatch):
            assert self.augmentation is not None
            x = self.augmentation(x, batch.index, batch.copy, self.seed, batch.epoch)
        return Batch(x, batch.y, batch.index)

    @property
    def train_images(self) -> Pixels:
        """All training images as bytes, those held out for validation too; not a copy."""
        return self._loaded().train.x

    @property
    def train_labels(self) -> Labels:
        """Labels of all training images; not a copy."""
        return self._loaded().train.y

    def train_samples(self, places: Labels) -> Batch:
        """Training samples at some places of the training array, as those of `test_samples`."""
        train = self._loaded().train
        return Batch(_to_unit_interval(train.x[places]), train.y[places], places)

    @property
    def test_size(self) -> int:
        """Number of test samples."""
        return len(self._loaded().test.y)

    def test_samples(self, start: int, stop: int) -> Batch:
        """Test samples ``start`` to ``stop - 1`` on the CPU, float32 in [0, 1].

        Raises:
            ConfigError: If the test set does not reach that far.
        """
        x, y = self._test_range(start, stop)
        return Batch(_to_unit_interval(x), y.clone(), torch.arange(start, stop))

    def val_samples(self, limit: int) -> Batch:
        """The first ``limit`` samples held out for validation, or all; as those of `test_samples`.

        Their ``index`` counts in the training array. Empty if ``val_fraction`` is 0.
        """
        train = self._loaded().train
        _, index = split(len(train.y), self.val_fraction, self.seed)
        return self.train_samples(index[:limit])

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

    def trained_samples(self) -> tuple[Samples, Positions]:
        """What the training loader takes from, and the places there of what it takes.

        Nothing of what is held out is taken, in no form of it. Noisy copies are not among them.

        Raises:
            ConfigError: As `TrainingSet.samples`.
        """
        original = self._loaded().train
        index, _ = split(len(original.y), self.val_fraction, self.seed)
        if self.training_set is None:
            return original, index
        if self._train is None:
            trainer = self.trainer
            device = torch.device("cpu") if trainer is None else trainer.strategy.root_device
            path = expanded(self.dataset)
            root = self.root if self.dataset in DATASETS else path.parent
            self._train = train = self.training_set.samples(original, root, device)
            if len(train.y) > (n := len(original.y)):
                # Kept once, not twice.
                self._data = self._loaded()._replace(train=Samples(train.x[:n], original.y))
        return self._train, self.training_set.positions(index, len(original.y))

    def _crop(self, x: Pixels, index: Positions, copy: Positions, epoch: int) -> Pixels:
        assert self.crops is not None
        return self.crops(x, index, copy, self.seed, epoch)

    def _loaded(self) -> Dataset:
        self.setup()
        assert self._data is not None
        return self._data

    def _share(self) -> Share:
        if self.trainer is None:
            return Share(0, 1)
        return Share(self.trainer.global_rank, self.trainer.world_size)


def _check_at_least_one(argument: str, value: int) -> None:
    if value < 1:
        raise ConfigError(
            f"Expected `{argument}` to be at least 1, but got {value}. "
            "Give the number of images per batch and device."
        )


def _shape(x: Pixels) -> tuple[int, int, int]:
    _, channels, height, width = x.shape
    return channels, height, width
