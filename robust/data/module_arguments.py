"""What the arguments of a data module have to be, and what they are where nobody gave them."""

import math
from collections.abc import Sequence

from robust.errors import ConfigError

_PIXELS = 500 * 3 * 32 * 32
"""Of the images of CIFAR-10 in a usual batch; a larger image takes the memory of several."""
_BATCH = 500
_FEWEST = 16


def check_batch(argument: str, value: int | None) -> None:
    """Raise unless there is at least one image in a batch.

    Raises:
        ConfigError: If there is none.
    """
    if value is not None and value < 1:
        raise ConfigError(
            f"Expected `{argument}` to be at least 1, but got {value}. "
            "Give the number of images per batch and device."
        )


def usual_batch(shape: Sequence[int]) -> int:
    """Return how many images of ``shape`` (C, H, W) are evaluated at a time if nobody says."""
    return min(_BATCH, max(_FEWEST, _PIXELS // math.prod(shape)))


def check_numbers(val_fraction: float, seed: int, workers: int | None) -> None:
    """Raise unless these arguments are in their ranges.

    Raises:
        ConfigError: With the range.
    """
    if not 0 <= val_fraction < 1:
        raise ConfigError(
            f"Expected `val_fraction` in [0, 1), but got {val_fraction}. "
            "Give 0.05 to hold out 5% of the training set, or 0 for none."
        )
    if not 0 <= seed < 2**32:
        raise ConfigError(
            f"Expected `seed` to be 0 to 2**32 - 1, but got {seed}. Choose another one."
        )
    if workers is not None and workers < 0:
        raise ConfigError(
            f"Expected `workers` to be at least 0, but got {workers}. Give the number of processes "
            "that read images, or 0 to read in this one."
        )
