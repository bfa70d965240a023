"""The residual networks for CIFAR-10 are those of He et al. 2016, as Wang et al. 2018 had them.

He et al.: https://arxiv.org/abs/1512.03385, section 4.2; Wang et al.: https://arxiv.org/abs/1809.08516.
"""

from typing import cast, final

from jaxtyping import Float
from torch import Tensor, nn

from robust.errors import ConfigError, check_at_least
from robust.networks.base import Activation
from robust.networks.normalize import Normalize
from robust.types import Images, Scores


@final
class ResNet(nn.Module):
    """ResNet has three stages of 16, 32 and 64 channels, an average pool and a linear head.

    Images may have any size: 32x32 become 32x32, 16x16 and 8x8 in the stages, 28x28 become 28x28,
    14x14 and 7x7. If a stage begins with a stride of 2, the shortcut is a 1x1 convolution with
    batch norm. That is He et al.'s option B, as in Wang et al.'s code. Convolutions start normal
    with variance 2 / fan-out; the head starts as PyTorch starts it.

    Examples:
        >>> network = robust.ResNet(depth=8, in_channels=1)
        >>> network(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        num_classes: Number of outputs.
        depth: Weighted layers along the chain: 6 n + 2 for n blocks a stage, such as 20, 32, 56
            (Wang et al.) or 110.
        in_channels: Channels of an image: 3 for CIFAR-10, 1 for MNIST.
        normalize: First layer; none by default. Wang et al. have mean (0.507, 0.487, 0.441) and
            std (0.267, 0.256, 0.276).
        extra_layer: Let the head be two linear layers with two numbers between them, ``head[0]`` of
            the features: the plane of Wang et al.'s Figures 3 and 4. With two classes, as in
            Figure 4, the second layer is the 2x2 layer that the paper names.
        activation: Builds the activation after every batch norm and every sum.

    Raises:
        ConfigError: If ``num_classes`` is below 2, ``in_channels`` below 1, or ``depth`` not
            6 n + 2 with n from 1.
    """

    def __init__(
        self,
        num_classes: int = 10,
        depth: int = 56,
        in_channels: int = 3,
        normalize: Normalize | None = None,
        extra_layer: bool = False,
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        check_at_least("num_classes", num_classes, 2)
        check_at_least("in_channels", in_channels, 1)
        if depth < 8 or (depth - 2) % 6:
            raise ConfigError(
                f"Expected `depth` to be 6 n + 2 with n from 1, such as 20 or 56, but got {depth}."
            )
        layers: list[nn.Module] = [] if normalize is None else [normalize]
        layers += [*_conv_bn(in_channels, 16, 3), activation()]
        blocks = (depth - 2) // 6
        for inputs, outputs in [(16, 16), (16, 32), (32, 64)]:
            layers.append(_BasicBlock(inputs, outputs, activation))
            layers += [_BasicBlock(outputs, outputs, activation) for _ in range(blocks - 1)]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = (
            nn.Sequential(nn.Linear(64, 2), nn.Linear(2, num_classes))
            if extra_layer
            else nn.Linear(64, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: Images) -> Float[Tensor, "n 64"]:
        """Return what the head sees: the globally pooled channels of the last stage."""
        return cast(Tensor, self.body(x))

    def forward(self, x: Images) -> Scores:
        """Return outputs of shape (N, num_classes), with nothing applied to them."""
        return cast(Tensor, self.head(self.features(x)))


@final
class _BasicBlock(nn.Module):
    """Two 3x3 convolutions; the input, or its projection where the shape changes, is added."""

    def __init__(self, inputs: int, outputs: int, activation: Activation) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.residual = nn.Sequential(
            *_conv_bn(inputs, outputs, 3, stride), activation(), *_conv_bn(outputs, outputs, 3)
        )
        self.shortcut = (
            nn.Identity() if stride == 1 else nn.Sequential(*_conv_bn(inputs, outputs, 1, stride))
        )
        self.activation = activation()

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        return cast(Tensor, self.activation(self.residual(x) + self.shortcut(x)))


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    padding = kernel // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]
