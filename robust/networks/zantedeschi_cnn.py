"""Networks of Zantedeschi, Nicolae and Rawat 2017 are here (https://arxiv.org/abs/1707.06728).

The paper prints one convolutional network and a residual one. What it does not say follows Keras,
the authors' library: Glorot uniform weights, zero biases. For CIFAR-10 their code has another
network than the paper, and only that one comes near the printed accuracy: it is
`ZantedeschiCifarCNN`.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from robust.errors import ConfigError, check_at_least
from robust.networks.base import Activation, SequentialNetwork, check_dropout


@final
class ZantedeschiCNN(SequentialNetwork):
    """ZantedeschiCNN has three convolutions and a linear layer.

    They are 8x8 of 64, 6x6 of 128 and 5x5 of 128 channels. 28x28 images become 14x14, 5x5 and 1x1.

    Examples:
        >>> network = robust.ZantedeschiCNN()
        >>> network(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of an image: 1 for MNIST, 3 for the CIFAR-10 network of the paper.
        size: Side of the images in pixels, even, at least 28; 32 for CIFAR-10.
        activation: Builds the activation after every convolution; `BReLU` is the paper's defense.

    Raises:
        ConfigError: If ``num_classes`` is below 2, ``in_channels`` below 1, or ``size`` odd or
            below 28.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        size: int = 28,
        activation: Activation = nn.ReLU,
    ) -> None:
        check_at_least("num_classes", num_classes, 2)
        side = _side_after_stem(size, smallest=28) - 4
        super().__init__(
            *_stem(in_channels, activation),
            nn.Conv2d(128, 128, 5),
            activation(),
            nn.Flatten(),
            nn.Linear(128 * side * side, num_classes),
        )
        _initialize(self)


@final
class ZantedeschiResNet(SequentialNetwork):
    """ZantedeschiResNet has convolutions 8x8 of 64 and 6x6 of 128 channels, and a bottleneck.

    It is the authors' code, which has ReLU even in the networks that the paper calls BReLU. Here
    ``activation`` is every activation.

    Examples:
        >>> network = robust.ZantedeschiResNet()
        >>> network(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of an image: 1 for MNIST, 3 for CIFAR-10.
        size: Side of the images in pixels, even, at least 20: 28 for MNIST, 32 for CIFAR-10.
        activation: Builds the five activations.

    Raises:
        ConfigError: If ``num_classes`` is below 2, ``in_channels`` below 1, or ``size`` odd or
            below 20.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        size: int = 28,
        activation: Activation = nn.ReLU,
    ) -> None:
        check_at_least("num_classes", num_classes, 2)
        side = _side_after_stem(size, smallest=20) // 3
        super().__init__(
            *_stem(in_channels, activation),
            _Bottleneck(activation),
            nn.MaxPool2d(3),
            nn.Flatten(),
            nn.Linear(128 * side * side, num_classes),
        )
        _initialize(self)


@final
class ZantedeschiCifarCNN(SequentialNetwork):
    """ZantedeschiCifarCNN has two convolutions and a dense layer of 500; 3x32x32 images.

    The convolutions are 3x3 of 32 (padded) and 64 channels.

    Examples:
        >>> network = robust.ZantedeschiCifarCNN()
        >>> network(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])

    Args:
        num_classes: Number of outputs.
        dropout: Rate of all three dropouts, in [0, 1).
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
            nn.Conv2d(3, 32, 3, padding=1),
            activation(),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            nn.Conv2d(32, 64, 3),
            activation(),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 500),
            activation(),
            nn.Dropout(dropout),
            nn.Linear(500, num_classes),
        )
        _initialize(self)


@final
class _Bottleneck(nn.Module):
    """This block goes 1x1 to 64, 3x3, 1x1 to 128 channels; its input is added to that."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(128, 64, 1),
            activation(),
            nn.Conv2d(64, 64, 3, padding=1),
            activation(),
            nn.Conv2d(64, 128, 1),
        )
        self.activation = activation()

    def forward(self, x: Float[Tensor, "n 128 h w"]) -> Float[Tensor, "n 128 h w"]:
        return self.activation(x + self.residual(x))  # type: ignore[no-any-return]


def _stem(in_channels: int, activation: Activation) -> list[nn.Module]:
    """The two convolutions that both networks of the paper begin with."""
    check_at_least("in_channels", in_channels, 1)
    # Keras' padding "same" of an 8x8 kernel with stride 2 on an even side is 3 on either side.
    return [
        nn.Conv2d(in_channels, 64, 8, stride=2, padding=3),
        activation(),
        nn.Conv2d(64, 128, 6, stride=2),
        activation(),
    ]


def _side_after_stem(size: int, smallest: int) -> int:
    if size < smallest or size % 2:
        raise ConfigError(f"Expected `size` to be even and at least {smallest}, but got {size}.")
    return (size // 2 - 6) // 2 + 1


def _initialize(network: nn.Module) -> None:
    """Set Glorot uniform weights and zero biases, as Keras starts layers."""
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
        else:
            nn.init.xavier_uniform_(parameter)
