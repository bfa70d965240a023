"""What a Trainer tests or validates, of ours or of somebody else, as a defense with images."""

from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer

from robust.data import ImageDataModule
from robust.data.of_trainer import image_module
from robust.defenses.adapting.adapt import Given, adapt
from robust.defenses.adapting.loaders import Normalization, read
from robust.defenses.base import Defense
from robust.defenses.tested import defense_and_data
from robust.errors import ConfigError
from robust.types import Batch


class Tested(NamedTuple):
    """A defense, the images of a test, and what a reader of its numbers has to know."""

    defense: Defense
    data: ImageDataModule
    notes: list[str]


def check_normalization(
    trainer: Trainer, pl_module: LightningModule, normalization: Normalization
) -> None:
    """Raise if a normalization is given of images that are not normalized.

    Raises:
        ConfigError: If the module is a defense, or the images are those of an `ImageDataModule`.
    """
    if normalization.mean is None:
        return
    for value in (pl_module, image_module(trainer)):
        if isinstance(value, Defense | ImageDataModule):
            raise ConfigError(
                f"Expected no `mean` and `std` of a loader with {type(value).__name__}, whose "
                "images are pixels in [0, 1], but got some. Leave them out."
            )


def tested(
    trainer: Trainer,
    pl_module: LightningModule,
    normalization: Normalization,
    limit: int | None,
) -> Tested:
    """Return what a test runs on; a module of somebody else is wrapped and checked.

    Args:
        trainer: Whose test it is.
        pl_module: A defense, or any module whose forward gives scores.
        normalization: Of the images that its loader gives.
        limit: Number of images, from the first; all if None.

    Raises:
        ConfigError: If the module and its images do not fit, with what to do.
    """
    if isinstance(pl_module, Defense):
        return Tested(*defense_and_data(trainer, pl_module), [])
    return _wrapped(trainer, pl_module, "test", normalization, limit)


def validated(
    trainer: Trainer, pl_module: LightningModule, normalization: Normalization, limit: int
) -> tuple[Defense, Batch]:
    """Return what a validation runs on, and its first images.

    Args:
        trainer: Whose validation it is.
        pl_module: A defense, or any module whose forward gives scores.
        normalization: Of the images that its loader gives.
        limit: Number of images.

    Raises:
        ConfigError: If the module and its images do not fit, with what to do.
    """
    if isinstance(pl_module, Defense):
        defense, data = defense_and_data(trainer, pl_module)
        return defense, data.val_samples(limit)
    wrapped = _wrapped(trainer, pl_module, "val", normalization, limit)
    if image_module(trainer) is not None:
        return wrapped.defense, wrapped.data.val_samples(limit)
    return wrapped.defense, wrapped.data.test_samples(0, min(limit, wrapped.data.test_size))


def _wrapped(
    trainer: Trainer,
    pl_module: LightningModule,
    stage: Literal["test", "val"],
    normalization: Normalization,
    limit: int | None,
) -> Tested:
    with torch.inference_mode(False), torch.no_grad():
        data = image_module(trainer)
        if data is None:
            data, normalization = read(_loader(trainer, stage), normalization, limit)
        given = Given(*normalization)
        defense, notes = adapt(pl_module, data, given, is_certain=True)
        defense.to(pl_module.device).eval()
    return Tested(defense, data, notes)


def _loader(trainer: Trainer, stage: Literal["test", "val"]) -> Any:  # noqa: ANN401
    return trainer.test_dataloaders if stage == "test" else trainer.val_dataloaders
