"""Image data: six named sets or any ``.npz``, held in memory and split over devices."""

from robust.data.augmentation import GaussianAugmentation, RandomCrops
from robust.data.datamodule import ImageDataModule
from robust.data.training_set import TrainingSet
from robust.io.call_arguments import checked_constructor

__all__ = ["GaussianAugmentation", "ImageDataModule", "RandomCrops", "TrainingSet"]

for _kind in (GaussianAugmentation, ImageDataModule, RandomCrops, TrainingSet):
    checked_constructor(_kind)
