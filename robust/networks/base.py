"""Networks share activations to choose, checked arguments, and a chain of layers."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import nn

from robust.errors import ConfigError
from robust.types import Images, Scores

Activation = Callable[[], nn.Module]
"""It builds a new activation layer; in YAML a class path such as ``torch.nn.ReLU``, or
``{class_path: robust.networks.BReLU, init_args: {t: 1.0}}``."""


class SequentialNetwork(nn.Module, ABC):
    """Such a network is one chain of layers, which a final subclass lists."""

    @abstractmethod
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Images) -> Scores:
        """Return outputs of shape (N, num_classes), with nothing applied to them."""
        return self.layers(x)  # type: ignore[no-any-return]


def check_dropout(dropout: float) -> None:
    """Check a dropout rate.

    Raises:
        ConfigError: If it is outside [0, 1).
    """
    if not 0 <= dropout < 1:
        raise ConfigError(f"Expected `dropout` to be in [0, 1), but got {dropout}.")
