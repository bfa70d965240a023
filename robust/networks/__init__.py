"""Networks map pixels in [0, 1] to outputs; a file has one architecture, or one paper's."""

from robust.networks.activations import BReLU
from robust.networks.arguments import remember_arguments
from robust.networks.densenet import DenseNet
from robust.networks.mlp import MLP
from robust.networks.normalize import Normalize
from robust.networks.resnet import ResNet
from robust.networks.tuna_cnn import TunaCifarCNN, TunaMnistCNN
from robust.networks.zantedeschi_cnn import (
    ZantedeschiCifarCNN,
    ZantedeschiCNN,
    ZantedeschiResNet,
)

__all__ = [
    "MLP",
    "BReLU",
    "DenseNet",
    "Normalize",
    "ResNet",
    "TunaCifarCNN",
    "TunaMnistCNN",
    "ZantedeschiCNN",
    "ZantedeschiCifarCNN",
    "ZantedeschiResNet",
]

remember_arguments(
    MLP,
    BReLU,
    DenseNet,
    Normalize,
    ResNet,
    TunaCifarCNN,
    TunaMnistCNN,
    ZantedeschiCNN,
    ZantedeschiCifarCNN,
    ZantedeschiResNet,
)
