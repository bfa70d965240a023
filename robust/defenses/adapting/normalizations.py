"""Normalizations that networks are usually trained with, and which of them fits some images."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from robust.data.module_arguments import usual_batch
from robust.networks.foreign import Foreign
from robust.networks.normalize import Normalize
from robust.types import Images, Labels, Scores
from robust.vocabulary import Channels


class Normalization(NamedTuple):
    """What a network was trained with: numbers for each channel, and the channels' order."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: Channels = "rgb"

    def __str__(self) -> str:
        order = "" if self.channels == "rgb" else f" --channel-order {self.channels}"
        return f"--mean {_text(self.mean)} --std {_text(self.std)}{order}"


_USUAL = {
    1: (
        ((0.0,), (1.0,)),
        ((0.1307,), (0.3081,)),  # MNIST
        ((0.286,), (0.353,)),  # Fashion-MNIST
        ((0.5,), (0.5,)),
        ((0.0,), (1 / 255,)),
    ),
    3: (
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet
        ((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),  # CIFAR-10
        ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),  # CIFAR-100
        ((0.4377, 0.4438, 0.4728), (0.198, 0.201, 0.197)),  # SVHN
        ((0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)),  # CLIP
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
        ((103.939 / 255, 116.779 / 255, 123.68 / 255), (1 / 255, 1 / 255, 1 / 255)),  # Caffe
    ),
}
"""Mean and deviation by number of channels."""


def best_fit(network: Foreign, x: Images, y: Labels) -> tuple[Normalization, float]:
    """Return the usual normalization with which a network classifies best, and its accuracy.

    Args:
        network: What to try; its own normalization comes back afterwards.
        x: Some images in [0, 1].
        y: Their labels.
    """
    own = network.normalize, network.channels
    try:
        tried = {usual: _accuracy_with(network, usual, x, y) for usual in _usual(x.shape[1])}
    finally:
        network.normalize, network.channels = own
    best = max(tried, key=lambda usual: tried[usual])
    return best, tried[best]


def accuracy(network: nn.Module, x: Images, y: Labels) -> float:
    """Return the share of images that a network classifies correctly, in its mode."""
    return float((in_pieces(network, x).argmax(dim=1) == y).double().mean())


@torch.no_grad()
def in_pieces(network: nn.Module, x: Images) -> Scores:
    """Return the scores of images, of which large ones are not all in memory at once."""
    pieces = torch.split(x, usual_batch(x.shape[1:]))
    return torch.cat([network(piece) for piece in pieces])


def _accuracy_with(network: Foreign, tried: Normalization, x: Images, y: Labels) -> float:
    network.normalize = Normalize(tried.mean, tried.std).to(x.device)
    network.channels = tried.channels
    return accuracy(network, x, y)


def _usual(channels: int) -> Iterator[Normalization]:
    for mean, std in _USUAL.get(channels, ()):
        yield Normalization(mean, std)
        if channels == 3:
            yield Normalization(mean, std, "bgr")


def _text(numbers: tuple[float, ...]) -> str:
    shown = numbers[:1] if len(set(numbers)) == 1 else numbers
    return " ".join(f"{value:.4g}" for value in shown)
