"""Target classes of targeted attacks: random ones, and whether the data has them."""

from collections.abc import Mapping

from jaxtyping import Int64
from torch import Tensor

from robust.attacks import RandomStreams
from robust.data import ImageDataModule
from robust.errors import ConfigError
from robust.results.records import AttackInfo
from robust.types import Labels


def random_targets(seeds: Int64[Tensor, " n"], labels: Labels, classes: int) -> Labels:
    """A class for each image, uniform over those that are not its label.

    Args:
        seeds: One seed a sample, so that a target belongs to an image and not to its batch.
        labels: Classes of the images.
        classes: Number of classes, at least 2.
    """
    # In float64 the product stays below its bound.
    index = (RandomStreams(seeds).uniform().double() * (classes - 1)).long()
    return index + (index >= labels)


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
