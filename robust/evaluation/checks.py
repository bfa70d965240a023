"""A suite is checked against the data and the training that it meets."""

from collections.abc import Mapping

from lightning.pytorch import Trainer

from robust.data import ImageDataModule
from robust.data.of_trainer import image_module
from robust.errors import ConfigError
from robust.results.records import AttackInfo


def check_targets(infos: Mapping[str, AttackInfo], data: ImageDataModule) -> None:
    """Raise unless every target is a class of the data.

    Raises:
        ConfigError: With the attack whose target is none.
    """
    for name, info in infos.items():
        if isinstance(info.target, int) and not 0 <= info.target < data.num_classes:
            raise ConfigError(
                f"Expected the target of attack `{name}` to be one of the "
                f"{data.num_classes} classes of {data.name}, but got {info.target}."
            )


def check_validation(trainer: Trainer) -> None:
    """Raise unless a training will have images to validate on.

    Raises:
        ConfigError: If it holds out none, or is told to look at none.
    """
    # The data module sets it where it holds out none.
    if trainer.limit_val_batches == 0:
        raise ConfigError(
            "Expected validation images to attack every so many epochs, but the training has none. "
            "Set `data.init_args.val_fraction` and `trainer.limit_val_batches` above 0, or "
            "`evaluation.every_n_epochs` to 0."
        )


def name_of_data(trainer: Trainer) -> str:
    """Return the name of the data set of a run, or words for images that have none."""
    data = image_module(trainer)
    return "these images" if data is None else data.name
