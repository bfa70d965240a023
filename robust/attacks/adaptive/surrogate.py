"""A small network learns to predict as another one that has no gradient, and is attacked for it."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust.attacks.views import shrunk
from robust.types import Images, Scores


@final
class Surrogate(nn.Module):
    """Surrogate gives scores much like those of the network that it was distilled from.

    Args:
        shape: (C, H, W) of an image.
        classes: Number of scores.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        if min(height, width) < _SMALL:
            layers: list[nn.Module] = [nn.Flatten(), nn.Linear(channels * height * width, 256)]
            last = 256
        else:
            layers = [nn.Conv2d(channels, 16, 5, stride=2, padding=2), nn.ReLU()]
            layers += [nn.Conv2d(16, 32, 5, stride=2, padding=2), nn.Flatten()]
            last = 32 * -(-height // 4) * -(-width // 4)
        head = [nn.ReLU(), nn.Linear(last, 128), nn.ReLU(), nn.Linear(128, classes)]
        self.layers = nn.Sequential(*layers, *head)

    def forward(self, x: Images) -> Scores:
        """Return scores, shrunk to a spread of 10."""
        return shrunk(self.layers(x))


def distilled(network: nn.Module, x: Images, radius: float) -> Surrogate:
    """Return a surrogate, trained on what a network says of images and of others around them.

    Images to which the surrogate's own gradient leads are asked for in each round (Papernot et al.
    2017, https://arxiv.org/abs/1602.02697). Its weights follow from the global random state.

    Args:
        network: Images to scores.
        x: Images.
        radius: How far from them it is asked, in pixels.
    """
    asked = [x]
    student = Surrogate((x.shape[1], x.shape[2], x.shape[3]), _said(network, x[:1]).shape[1])
    student.to(x.device)
    optimizer = torch.optim.Adam(student.parameters(), lr=2e-3)
    for _ in range(_ROUNDS):
        asked += [_around(x, radius * share) for share in (0.5, 1.0)]
        asked.append(_ahead(student, x, radius))
        images = torch.cat(asked)
        answers = _said(network, images)
        for _ in range(_STEPS):
            chosen = torch.randint(len(images), (_BATCH,)).to(x.device)
            loss = F.cross_entropy(student.layers(images[chosen]), answers[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return student.requires_grad_(False).eval()


def _said(network: nn.Module, images: Images) -> Tensor:
    """Return the probabilities that a network gives, never so sure that nothing is to learn."""
    with torch.no_grad():
        parts = [shrunk(network.forward(part)) for part in torch.split(images, _BLOCK)]
        return torch.cat(parts).softmax(dim=1)


def _around(x: Images, radius: float) -> Images:
    return (x + radius * (2 * torch.rand_like(x) - 1)).clamp(0, 1)


def _ahead(student: Surrogate, x: Images, radius: float) -> Images:
    """Return images to which the surrogate's gradient leads, somewhat at random."""
    moved = _around(x, radius / 2)
    y = student(x).argmax(dim=1).detach()
    for _ in range(5):
        moved = moved.detach().requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(student(moved), y), moved)
        moved = x + (moved + radius / 3 * slope.sign() - x).clamp(-radius, radius)
        moved = moved.clamp(0, 1)
    return moved.detach()


_SMALL = 16
"""Sides of images that a linear layer takes at once."""
_ROUNDS, _STEPS, _BATCH, _BLOCK = 6, 150, 64, 500
