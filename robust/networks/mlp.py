"""The MLP is fully connected, as the networks of Paranjape, Dubey and Gopalan 2020.

The paper (https://arxiv.org/abs/2006.01408) names two hidden layers with ReLU and no more; widths
and weights (PyTorch's own start) are our choice.
"""

from typing import final

from torch import nn

from robust.errors import check_at_least
from robust.networks.base import Activation, SequentialNetwork


@final
class MLP(SequentialNetwork):
    """MLP flattens images of any shape, and has hidden layers of one width and a linear layer.

    Examples:
        >>> network = robust.MLP(num_classes=10, in_features=784)
        >>> network(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        num_classes: Number of outputs; 784 to recall an MNIST image.
        in_features: Pixels times channels of an image.
        hidden: Width of the hidden layers.
        layers: Number of hidden layers.
        activation: Builds the activation after every hidden layer.

    Raises:
        ConfigError: If ``num_classes`` is below 2 or another number below 1.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_features: int = 784,
        hidden: int = 512,
        layers: int = 2,
        activation: Activation = nn.ReLU,
    ) -> None:
        check_at_least("num_classes", num_classes, 2)
        check_at_least("in_features", in_features, 1)
        check_at_least("hidden", hidden, 1)
        check_at_least("layers", layers, 1)
        chain: list[nn.Module] = [nn.Flatten()]
        for width in [in_features] + [hidden] * (layers - 1):
            chain += [nn.Linear(width, hidden), activation()]
        super().__init__(*chain, nn.Linear(hidden, num_classes))
