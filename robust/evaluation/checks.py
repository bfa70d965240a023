"""A suite is checked against the data and the training that it meets."""

from collections.abc import Mapping

import torch
from lightning.pytorch import Trainer

from robust.attacks import isolated
from robust.attacks.area import check_fits
from robust.data import ImageDataModule
from robust.data.module_arguments import usual_batch
from robust.data.of_trainer import image_module
from robust.defenses.base import Defense
from robust.errors import ConfigError
from robust.evaluation.attacked_images import AttackedImages
from robust.evaluation.suite import Suite
from robust.results.records import AttackInfo


def check_suite(suite: Suite, data: ImageDataModule) -> None:
    """Raise unless a suite's targets are classes of the data, and its masks and patches fit it.

    Raises:
        ConfigError: With what does not.
    """
    check_targets(suite.infos, data)
    for allowed in (suite.threat_model, *suite.threat_models.values()):
        check_fits(allowed, *data.shape[1:])


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


def check_view(suite: Suite, defense: Defense, images: AttackedImages) -> None:
    """Raise unless the adaptive view predicts as the defense does, ties aside.

    Few images may differ where a view rounds otherwise.

    Args:
        suite: Nothing is wrong if it has no such view.
        defense: Whose view it is, which is no function of random numbers.
        images: The first ones are tried.

    Raises:
        ConfigError: With on how many images it does not.
    """
    if "adaptive" not in suite.views:
        return
    count = min(_SOME, usual_batch(images.data.shape), images.size)
    x = images.samples(0, count).x.to(defense.device)
    with isolated(defense, x.device, suite.seed), torch.no_grad():
        scores, seen = defense(x), defense.adaptive_view().eval()(x)
    if scores.shape != seen.shape:
        return  # as of an objective of its own
    differ = scores.argmax(dim=1) != seen.argmax(dim=1)
    best = scores.topk(2, dim=1).values
    differ &= best[:, 0] - best[:, 1] > _TIED * best[:, 0].abs()
    if int(differ.sum()) > max(1, _FEW * count):
        raise ConfigError(
            f"Expected an adaptive view that predicts like {type(defense).__name__}, but it "
            f"differs on {int(differ.sum())} of {count} images. Change its gradient alone."
        )


_SOME, _FEW, _TIED = 64, 0.05, 1e-5


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
