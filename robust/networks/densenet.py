"""DenseNet of Huang et al. 2017 (https://arxiv.org/abs/1608.06993), as Saito and Roy 2018 had it.

Saito and Roy (https://arxiv.org/abs/1812.00181) say "DenseNet" and no more. Depth 40, growth 12,
the first width, dropout, start and last activation are those of their code.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robust.errors import ConfigError, check_at_least
from robust.networks.base import Activation, SequentialNetwork, check_dropout
from robust.networks.normalize import Normalize

_BLOCKS = 3


@final
class DenseNet(SequentialNetwork):
    """DenseNet has three dense blocks without bottlenecks; images of any size from 4x4.

    A layer is BN, activation, 3x3 convolution and dropout. A transition is BN, activation, 1x1
    convolution, dropout and 2x2 average pool: 28x28 images become 14x14, then 7x7. Convolutions
    have no bias and He's normal start over the fan-in, the linear layer Glorot's uniform start.
    Running statistics move by PyTorch's 0.1 a step. With the 0.001 of the authors' library, short
    trainings would be evaluated on statistics of their start.

    Examples:
        >>> network = robust.DenseNet(depth=7)
        >>> network(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        num_classes: Number of outputs; codewords have 16 to 1024.
        depth: Convolutions along the chain and the linear layer: 3 n + 4, n layers a block.
        growth: Channels that a layer adds; the first convolution makes twice as many.
        in_channels: Channels of an image: 1 for MNIST, 3 for CIFAR-10.
        compression: Share of the channels that a transition keeps, in (0, 1].
        dropout: Rate after every convolution but the first, in [0, 1); the authors have 0.2.
        normalize: First layer; none by default.
        activation: Builds every activation but the last.
        final_activation: Builds the one before the global pool, the ELU of the authors' code by
            default; None means ``activation``, as Huang et al. have it.

    Raises:
        ConfigError: If ``num_classes`` is below 2, ``depth`` not 3 n + 4 with n from 1, or
            ``growth`` or ``in_channels`` below 1. Also if ``compression`` is outside (0, 1], or so
            small that a transition keeps no channel, or ``dropout`` outside [0, 1).
    """

    def __init__(
        self,
        num_classes: int = 10,
        depth: int = 40,
        growth: int = 12,
        in_channels: int = 1,
        compression: float = 1.0,
        dropout: float = 0.0,
        normalize: Normalize | None = None,
        activation: Activation = nn.ReLU,
        final_activation: Activation | None = nn.ELU,
    ) -> None:
        check_at_least("num_classes", num_classes, 2)
        check_at_least("growth", growth, 1)
        check_at_least("in_channels", in_channels, 1)
        check_dropout(dropout)
        widths = _widths(depth, growth, compression)
        layers: list[nn.Module] = [] if normalize is None else [normalize]
        layers.append(_convolution(in_channels, 2 * growth, 3))
        for block, (width, grown) in enumerate(widths):
            if block:
                layers += _bn_conv(widths[block - 1][1], width, 1, dropout, activation)
                layers.append(nn.AvgPool2d(2))
            layers += [
                _DenseLayer(channels, growth, dropout, activation)
                for channels in range(width, grown, growth)
            ]
        layers += [_batch_norm(grown), (final_activation or activation)()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(grown, num_classes)]
        super().__init__(*layers)
        _initialize(self)


@final
class _DenseLayer(nn.Module):
    """This layer adds ``growth`` channels to those of its input."""

    def __init__(self, channels: int, growth: int, dropout: float, activation: Activation) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_bn_conv(channels, growth, 3, dropout, activation))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n grown h w"]:
        return torch.cat([x, self.layers(x)], dim=1)


def _widths(depth: int, growth: int, compression: float) -> list[tuple[int, int]]:
    """Return the channels at the start and the end of each block."""
    if depth < _BLOCKS + 4 or (depth - 4) % _BLOCKS:
        raise ConfigError(
            f"Expected `depth` to be 3 n + 4 with n from 1, such as 22 or 40, but got {depth}."
        )
    if not 0 < compression <= 1:
        raise ConfigError(f"Expected `compression` to be in (0, 1], but got {compression}.")
    widths, width = [], 2 * growth
    for _ in range(_BLOCKS):
        grown = width + (depth - 4) // _BLOCKS * growth
        widths.append((width, grown))
        width = int(grown * compression)
        if width == 0:
            raise ConfigError(
                f"Expected `compression` to keep a channel of {grown}, but got {compression}."
            )
    return widths


def _bn_conv(
    inputs: int, outputs: int, kernel: int, dropout: float, activation: Activation
) -> list[nn.Module]:
    convolution = _convolution(inputs, outputs, kernel)
    return [_batch_norm(inputs), activation(), convolution, nn.Dropout(dropout)]


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)  # of the authors' library


def _initialize(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
