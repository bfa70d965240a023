"""One data module for every image set: bytes, sliced by batch, exact on many devices."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from robust.data.augmentation import GaussianAugmentation, RandomCrops
from robust.data.datasets import DATASETS, check_name, load_named
from robust.data.files.decoding import Decoding, Interpolation
from robust.data.files.sources import Opened, Reading, check_unread, open_source, source_of
from robust.data.files.workers import usual_workers
from robust.data.loaders import (
    CopiedBatch,
    EvaluationLoader,
    Positions,
    Share,
    Source,
    TrainingLoader,
    split,
)
from robust.data.module_arguments import check_batch, check_numbers, usual_batch
from robust.data.sample_access import ImageSamples, shape_of, to_unit_interval
from robust.data.samples import Dataset, Pixels, Samples, StoredImages
from robust.data.training_set import TrainingSet
from robust.io.text_files import expanded
from robust.types import Batch


class ImageDataModule(ImageSamples):
    """Images of one set, as bytes until they are on the device, then float32 in [0, 1].

    Named sets and those of an ``.npz`` file are in memory. Image files are read when they are asked
    for.

    A batch is a `robust.types.Batch`; its ``index`` counts in the original training array for
    training and validation, in the test array for test.

    Examples:
        >>> data = robust.ImageDataModule("digits")
        >>> data.shape, data.num_classes, data.test_size
        ((1, 28, 28), 10, 360)

    Args:
        dataset: ``mnist``, ``fashion_mnist``, ``cifar10``, ``cifar100``, ``svhn``, ``digits``
            (scikit-learn's, needs no download), ``circles`` and ``moons`` (points of the plane, see
            `robust.data.toy`). Or images of your own, see ``docs/data.md``: ``imagefolder:DIR``,
            ``csv:FILE``, ``hf:NAME_OR_DIR[:split]``, ``npz:FILE`` or a path that ends in ``.npz``.
        root: Folder of the named sets, in torchvision's layout; CIFAR-10 also as ``cifar10.npz``.
            The environment variable ``ROBUST_DATA_DIR`` overrides it.
        batch_size: Training samples per batch and device.
        eval_batch_size: Validation and test samples per batch and device; 500 if None, and fewer
            of large images.
        val_fraction: Share of the training set held out for validation, in [0, 1).
        seed: Fixes that split, the order of training batches and the noise upon them; 0 to
            2**32 - 1. Crops follow from it too.
        augmentation: Adds noisy copies to the training samples; none if None. Validation and test
            samples stay as they are.
        training_set: Trains on transformed images; on the originals if None.
        crops: Trains on random crops of the images, others in every epoch; on the images if None.
        size: Pixels to which the shorter side of image files is resized; as stored if None.
        crop: Side of the square that is kept in the middle of them; ``size`` if None.
        interpolation: Of the resizing.
        channels: 1 reads image files as grey, 3 as RGB; None as what they are.
        skip_broken: Whether image files that cannot be used are left out, with a note.
        workers: Processes per device that read image files ahead; None chooses a number.

    Attributes:
        name: Of the set; for a file, without folder and suffix.
        shape: (C, H, W) of an image.
        num_classes: Labels are smaller than this.
        class_names: Names of the classes, empty where nobody named them.
        is_named: Whether a file can say which set it is.

    Raises:
        ConfigError: If an argument is out of range, or a file cannot be used.
    """

    def __init__(
        self,
        dataset: str = "mnist",
        root: str = "data",
        batch_size: int = 128,
        eval_batch_size: int | None = None,
        val_fraction: float = 0.05,
        seed: int = 0,
        augmentation: GaussianAugmentation | None = None,
        training_set: TrainingSet | None = None,
        crops: RandomCrops | None = None,
        size: int | None = None,
        crop: int | None = None,
        interpolation: Interpolation = "bilinear",
        channels: int | None = None,
        skip_broken: bool = False,
        workers: int | None = None,
    ) -> None:
        super().__init__()
        check_batch("batch_size", batch_size)
        check_batch("eval_batch_size", eval_batch_size)
        check_numbers(val_fraction, seed, workers)
        self.dataset = dataset
        self.is_named = True
        self.root = expanded(os.environ.get("ROBUST_DATA_DIR") or root)
        self.batch_size = batch_size
        self.val_fraction = val_fraction
        self.seed = seed
        self.augmentation = augmentation
        self.training_set = training_set
        self.crops = crops
        self.size, self.crop, self.interpolation = size, crop, interpolation
        self.channels, self.skip_broken, self.workers = channels, skip_broken, workers
        self._train: Samples | None = None
        self._data: Dataset | None = None
        self._test_limit: int | None = None
        reading = Reading(
            Decoding(size, crop, interpolation, channels),
            skip_broken,
            usual_workers() if workers is None else workers,
        )
        source = source_of(dataset)
        if source is not None:
            self._take(open_source(source, reading))
        else:
            check_name(dataset)
            check_unread(reading, dataset)
            entry = DATASETS[dataset]
            self._describe(dataset, entry.shape, entry.num_classes, entry.classes)
        self.eval_batch_size = eval_batch_size or usual_batch(self.shape)
        if crops is not None:
            crops.check_fit(self.shape)

    @classmethod
    def from_opened(cls, opened: Opened, batch_size: int = 128) -> "ImageDataModule":
        """Return a data module of samples that are there already, which no file can name."""
        module = cls("circles", batch_size=batch_size)  # any set that needs no files
        module._take(opened)
        module.dataset, module.is_named = opened.name, False
        module.eval_batch_size = usual_batch(module.shape)
        return module

    def _take(self, opened: Opened) -> None:
        """Have the samples of a set that is open."""
        self._data = opened.data
        shape = shape_of(opened.data.test.x)
        self._describe(opened.name, shape, opened.num_classes, opened.classes)

    def _describe(
        self,
        name: str,
        shape: tuple[int, int, int],
        num_classes: int,
        class_names: tuple[str, ...],
    ) -> None:
        self.name = name
        self.shape = shape
        self.num_classes = num_classes
        self.class_names = class_names

    def prepare_data(self) -> None:
        """Download a named set unless it is in ``root``; before training, make its `training_set`.

        Before training all image files are read once, so that none is found unusable after hours.

        Raises:
            ConfigError: If it is not there and cannot be downloaded, or there are no training
                images. Also if an image file is unusable, or as `TrainingSet.samples`.
        """
        if self._data is None and (download := DATASETS[self.dataset].download) is not None:
            download(self.root)
        if self.trainer is not None and self.trainer.state.fn == "fit":
            train, _ = self.trained_samples()
            for samples in (train, self._loaded().test):
                if isinstance(samples.x, StoredImages):
                    samples.x.check()

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
        """Return shuffled batches; in fixed order under Lightning's ``overfit_batches``.

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

    def trained(self, limit: int) -> Iterator[Batch]:
        """Yield the first ``limit`` samples of the training, without augmentation, in parts.

        The parts have at most ``eval_batch_size`` samples, float32 in [0, 1] on the CPU.
        """
        train, index = self.trained_samples()
        for start in range(0, min(limit, len(index)), self.eval_batch_size):
            part = index[start : min(start + self.eval_batch_size, limit)]
            yield Batch(to_unit_interval(train.x[part]), train.y[part], part)

    def val_dataloader(self) -> EvaluationLoader | list[EvaluationLoader]:
        """Return the validation samples in order; no loader if ``val_fraction`` is 0."""
        train = self._loaded().train
        index = self._held_out()
        if not len(index):
            return []
        return EvaluationLoader(Source(train, index), self.eval_batch_size, self._share())

    def test_dataloader(self) -> EvaluationLoader:
        """It gives the test set in order, or what of it `test_limited` leaves."""
        test, share = self._loaded().test, self._share()
        limit = len(test.y) if self._test_limit is None else max(self._test_limit, share.world)
        source = Source(test, torch.arange(len(test.y))[:limit])
        return EvaluationLoader(source, self.eval_batch_size, share)

    @contextmanager
    def test_limited(self, limit: int | None) -> Iterator[None]:
        """Have the test loader give the first images alone, for a test that needs no others.

        Args:
            limit: Number of images, of which each process gets at least one; all if None.
        """
        earlier, self._test_limit = self._test_limit, limit
        try:
            yield
        finally:
            self._test_limit = earlier

    def on_after_batch_transfer(self, batch: Batch | CopiedBatch, dataloader_idx: int) -> Batch:
        """Turn bytes to float32 in [0, 1], on the device: a quarter of the bytes travel there.

        Copies get their noise, and may leave [0, 1].
        """
        x = to_unit_interval(batch.x)
        if isinstance(batch, CopiedBatch):
            assert self.augmentation is not None
            x = self.augmentation(x, batch.index, batch.copy, self.seed, batch.epoch)
        return Batch(x, batch.y, batch.index)

    def trained_samples(self) -> tuple[Samples, Positions]:
        """Return what the training loader takes from, and the index there of what it takes.

        Nothing of what is held out is taken, in no form of it. Noisy copies are not among them.

        Raises:
            ConfigError: As `TrainingSet.samples`.
        """
        original = self._training()
        index, _ = split(len(original.y), self.val_fraction, self.seed)
        if self.training_set is None:
            return original, index
        if self._train is None:
            trainer = self.trainer
            device = torch.device("cpu") if trainer is None else trainer.strategy.root_device
            source = source_of(self.dataset)
            is_file = source is not None and source.kind in ("npz", "csv")
            root = expanded(source.path).parent if source and is_file else self.root
            self._train = train = self.training_set.samples(original, root, device)
            if len(train.y) > (n := len(original.y)):
                # Kept once, not twice.
                self._data = self._loaded()._replace(train=Samples(train.x[:n], original.y))
        return self._train, self.training_set.positions(index, len(original.y))

    def _crop(self, x: Pixels, index: Positions, copy: Positions, epoch: int) -> Pixels:
        assert self.crops is not None
        return self.crops(x, index, copy, self.seed, epoch)

    def _loaded(self) -> Dataset:
        """The set, read unless it is already."""
        self.setup()
        assert self._data is not None
        return self._data

    def _share(self) -> Share:
        if self.trainer is None:
            return Share(0, 1)
        return Share(self.trainer.global_rank, self.trainer.world_size)
