"""This network is for points in the plane: Zantedeschi et al. 2017, Figure 2.

https://arxiv.org/abs/1707.06728, with the authors' code where the paper is silent.
"""

from typing import final

from torch import nn

from robust.networks.base import Activation, SequentialNetwork


@final
class ZantedeschiToyNet(SequentialNetwork):
    """The network has dense layers of 64, 64 and 2; the activation follows the second alone.

    The paper names two hidden layers with ReLU; the first of the authors' code has none.

    Args:
        activation: Builds the activation.
    """

    def __init__(self, activation: Activation = nn.ReLU) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(2, 64),
            nn.Linear(64, 64),
            activation(),
            nn.Linear(64, 2),
        )
