"""A test of Lightning's runs on a defense and the samples of a data module."""

from lightning.pytorch import LightningModule, Trainer

from robust.data import ImageDataModule
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
    return pl_module, datamodule_of(trainer)


def datamodule_of(trainer: Trainer) -> ImageDataModule:
    """Return the data module of a run.

    Raises:
        ConfigError: If they come from no `ImageDataModule`.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if not isinstance(datamodule, ImageDataModule):
        raise ConfigError(
            "Expected an ImageDataModule to take test samples from, but got "
            f"{type(datamodule).__name__}. Pass one as `datamodule`; it reads any .npz file."
        )
    return datamodule
