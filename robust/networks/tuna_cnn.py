"""These are the two networks of Tuna, Catak and Eskil 2022 (https://arxiv.org/abs/2202.07342).

Both are Table V of the paper. Weights start as PyTorch starts them: the paper names no scheme.
"""

from typing import final

from torch import nn

from robust.errors import check_at_least
from robust.networks.base import Activation, SequentialNetwork, check_dropout


def _conv(inputs: int, outputs: int, activation: Activation) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), activation()]


def _dense(inputs: int, outputs: int, activation: Activation, dropout: float) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), activation(), nn.Dropout(dropout)]


@final
class TunaMnistCNN(SequentialNetwork):
    """TunaMnistCNN has four convolutions and two dense layers of 200; 1x28x28 images.

    The convolutions have 32, 32, 64 and 64 channels.

    Examples:
        >>> network = robust.TunaMnistCNN()
        >>> network(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        num_classes: Number of outputs.
        dropout: Rate after each hidden dense layer, in [0, 1); Table VI has 0.5 throughout.
        activation: Builds the activation after every hidden layer.

    Raises:
        ConfigError: If ``num_classes`` is below 2 or ``dropout`` outside [0, 1).
    """

    def __init__(
        self, num_classes: int = 10, dropout: float = 0.5, activation: Activation = nn.ReLU
    ) -> None:
        check_at_least("num_classes", num_classes, 2)
        check_dropout(dropout)
        super().__init__(
            *_conv(1, 32, activation),
            *_conv(32, 32, activation),
            nn.MaxPool2d(2),
            *_conv(32, 64, activation),
            *_conv(64, 64, activation),
            nn.MaxPool2d(2),
            nn.Flatten(),
            *_dense(3136, 200, activation, dropout),
            *_dense(200, 200, activation, dropout),
            nn.Linear(200, num_classes),
        )


@final
class TunaCifarCNN(SequentialNetwork):
    """TunaCifarCNN has six convolutions and dense layers of 1024 and 256; 3x32x32 images.

    The convolutions have 32 to 256 channels.

    Examples:
        >>> network = robust.TunaCifarCNN()
        >>> network(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])

    Args:
        num_classes: Number of outputs.
        dropout: Rate of all three dropouts, in [0, 1). Table VI has 0.05 for the sigmoid and 0.25
            for the tanh model. It does not say which of the three it means; we take all.
        activation: Builds the activation after every hidden layer.

    Raises:
        ConfigError: If ``num_classes`` is below 2 or ``dropout`` outside [0, 1).
    """

    def __init__(
        self, num_classes: int = 10, dropout: float = 0.5, activation: Activation = nn.ReLU
    ) -> None:
        check_at_least("num_classes", num_classes, 2)
        check_dropout(dropout)
        super().__init__(
            *_conv(3, 32, activation),
            *_conv(32, 64, activation),
            nn.MaxPool2d(2),
            *_conv(64, 128, activation),
            *_conv(128, 128, activation),
            nn.MaxPool2d(2),
            *_conv(128, 256, activation),
            *_conv(256, 256, activation),
            nn.Dropout(dropout),
            nn.MaxPool2d(2),
            nn.Flatten(),
            *_dense(4096, 1024, activation, dropout),
            *_dense(1024, 256, activation, dropout),
            nn.Linear(256, num_classes),
        )
