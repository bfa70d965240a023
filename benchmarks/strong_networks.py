"""Robust networks, for `strong.py`: two that are certified, and some trained here shortly.

Those of Wong and Kolter 2018 (https://arxiv.org/abs/1711.00851) are read from a folder. The others
are trained once by PGD or TRADES and kept, the radius of the attack growing in the first half.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust.attacks import PGD, craft
from robust.data import ImageDataModule
from robust.defenses.crafting import kl_divergence
from robust.networks import ResNet


class Case(NamedTuple):
    """A network with images that it classifies correctly."""

    name: str
    network: nn.Module
    eps: float
    x: Tensor
    y: Tensor


class _Recipe(NamedTuple):
    data: str
    eps: float
    build: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Tensor, Tensor, float, int], Tensor]
    images: int
    epochs: int
    steps: int


class WongCNN(nn.Sequential):
    """The small network of Wong and Kolter 2018."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 100), nn.ReLU(), nn.Linear(100, 10)),
        )


def _pgd(network: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int) -> Tensor:
    x_adv = craft(lambda m: PGD(m, eps, steps=steps, early_stop=False), network, x, y).x_adv
    return F.cross_entropy(network(x_adv), y)


def _trades(network: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int) -> Tensor:
    scores = network(x)
    guess = scores.argmax(dim=1)
    x_adv = craft(lambda m: PGD(m, eps, steps=steps, early_stop=False), network, x, guess).x_adv
    divergence = kl_divergence(scores, network(x_adv)).mean()
    return F.cross_entropy(scores, y) + 6 * divergence


_CERTIFIED = {
    "Wong 0.1": ("wong_mnist_linf_0.1.pth", 0.1),
    "Wong 0.3": ("wong_mnist_small_linf_0.3.pth", 0.3),
}
_TRAINED = {
    "MNIST PGD": _Recipe("mnist", 0.3, WongCNN, _pgd, 20_000, 6, 10),
    "MNIST TRADES": _Recipe("mnist", 0.3, WongCNN, _trades, 10_000, 4, 7),
    "CIFAR-10 PGD": _Recipe("cifar10", 8 / 255, lambda: ResNet(depth=20), _pgd, 8_000, 4, 3),
}
NAMES = (*_CERTIFIED, *_TRAINED)


def case(name: str, n: int, root: Path, kept: Path, folder: Path, first: int = 0) -> Case | None:
    """Return a network with images that it classifies correctly; None without its file.

    Args:
        name: One of `NAMES`.
        n: Test images to begin with.
        root: Folder of the data sets.
        kept: Folder of the networks that were trained here.
        folder: Folder of the certified ones.
        first: Index of the first image.
    """
    if name in _CERTIFIED:
        file, eps = _CERTIFIED[name]
        if not (folder / file).exists():
            return None
        network, data = _certified(folder / file), "mnist"
    else:
        recipe = _TRAINED[name]
        network, eps, data = _trained(name, recipe, root, kept), recipe.eps, recipe.data
    module = _module(data, root)
    x, y, _ = module.test_samples(first, first + n)
    network = network.eval().requires_grad_(False)
    right = network(x).argmax(dim=1) == y
    return Case(name, network, eps, x[right], y[right])


def _module(data: str, root: Path) -> ImageDataModule:
    module = ImageDataModule(data, root=str(root), batch_size=100)
    module.setup("fit")
    return module


def _certified(file: Path) -> nn.Module:
    content = torch.load(file, map_location="cpu", weights_only=True)
    states = content.get("state_dict", content)
    network = WongCNN()
    network.load_state_dict(states[0] if isinstance(states, list) else states)
    return network


def _trained(name: str, recipe: _Recipe, root: Path, kept: Path) -> nn.Module:
    torch.manual_seed(0)
    network = recipe.build()
    file = kept / f"{name.lower().replace(' ', '_')}.pt"
    if file.exists():
        network.load_state_dict(torch.load(file, weights_only=True))
        return network
    _train(network, recipe, root)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), file)
    return network


def _train(network: nn.Module, recipe: _Recipe, root: Path) -> None:
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    module = _module(recipe.data, root)
    batches, step = recipe.images // 100, 0
    total = recipe.epochs * batches
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total)
    for _ in range(recipe.epochs):
        for batch, _ in zip(module.train_dataloader(), range(batches), strict=False):
            x, y, _ = module.on_after_batch_transfer(batch, 0)
            eps = recipe.eps * min(1.0, 2 * step / total)
            loss = recipe.loss(network.train(), x, y, eps, recipe.steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay.step()
            step += 1
