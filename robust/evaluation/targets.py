"""Targeted attacks get a random class for each image."""

from jaxtyping import Int64
from torch import Tensor

from robust.attacks import RandomStreams
from robust.types import Labels


def random_targets(seeds: Int64[Tensor, " n"], labels: Labels, classes: int) -> Labels:
    """Return a class for each image, uniform over those that are not its label.

    Args:
        seeds: One seed a sample, so that a target belongs to an image and not to its batch.
        labels: Classes of the images.
        classes: Number of classes, at least 2.
    """
    # In float64 the product stays below its bound.
    index = (RandomStreams(seeds).uniform().double() * (classes - 1)).long()
    return index + (index >= labels)
