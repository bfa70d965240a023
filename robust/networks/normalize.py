"""Normalization of pixels is a layer of the network, not of the data."""

from collections.abc import Sequence
from typing import final

import torch
from torch import nn

from robust.errors import ConfigError
from robust.types import Images


@final
class Normalize(nn.Module):
    """Normalize is the first layer of a network: ``(x - mean) / std``, channel by channel.

    Examples:
        >>> first = robust.Normalize(mean=[0.5], std=[0.25])
        >>> first(torch.ones(1, 1, 1, 1)).item()
        2.0

    Args:
        mean: One a channel, in pixel units of [0, 1].
        std: One a channel, positive, in the same units.

    Raises:
        ConfigError: If they differ in length, are empty, or a ``std`` is not positive.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if not 0 < len(mean) == len(std):
            raise ConfigError(
                "Expected `mean` and `std` to have one number a channel, but got "
                f"{len(mean)} and {len(std)}."
            )
        if not all(value > 0 for value in std):
            raise ConfigError(f"Expected every `std` to be positive, but got {list(std)}.")
        # Buffers that are saved: records tell networks apart by their state.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, x: Images) -> Images:
        """Return images of the same shape, in units of ``std`` from ``mean``."""
        return (x - self.mean) / self.std

    def inverse(self, z: Images) -> Images:
        """Return the pixels of images in those units; outside [0, 1] where ``z`` says so."""
        return z * self.std + self.mean
