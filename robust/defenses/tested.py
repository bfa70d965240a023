"""A test of Lightning's runs on a defense and the samples of a data module."""

from lightning.pytorch import LightningModule, Trainer

from robust.data import ImageDataModule
from robust.data.of_trainer import required_image_module
from robust.defenses.base import Defense
from robust.errors import ConfigError


def defense_and_data(
    trainer: Trainer, pl_module: LightningModule
) -> tuple[Defense, ImageDataModule]:
    """Return what a test runs on.

    Raises:
        ConfigError: If it is no `Defense`, or its samples come from no `ImageDataModule`.
    """
    if not isinstance(pl_module, Defense):
        raise ConfigError(
            f"Expected a Defense to attack, but got {type(pl_module).__name__}. Subclass "
            "robust.defenses.Defense."
        )
    return pl_module, required_image_module(trainer, "test samples")
