"""Networks that hide their gradient, as functions that nobody can look into.

With each comes the view that somebody writes who knows it.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from robust.attacks import BPDA, EOT, PGD, Rescale, craft, sample_seeds
from robust.attacks.views import shrunk, straight_through
from robust.threat import ThreatModel

BUDGET = ThreatModel("Linf", 0.2)


class Anonymous(nn.Module):
    """A function of images, whose layers are no modules of it."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Control(NamedTuple):
    deployed: Anonymous
    view: nn.Module
    """Written by hand."""
    random: bool = False


@functools.cache
def digits():
    """Images of 8x8 pixels and labels: to train on, and to attack."""
    found = load_digits()
    x = (torch.tensor(found.images).float().unsqueeze(1) / 16 * 255).round() / 255
    y = torch.tensor(found.target)
    return x[:1300], y[:1300], x[1300:], y[1300:]


def dense(outputs=10, activation=nn.ReLU):
    hidden = [nn.Linear(64, 128), activation(), nn.Linear(128, 128), activation()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(128, outputs))


def fitted(network, loss, epochs=30):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    x, y, *_ = digits()
    for _ in range(epochs):
        for part in torch.split(torch.randperm(len(x)), 64):
            optimizer.zero_grad()
            loss(x[part], y[part]).backward()
            optimizer.step()
    return network.eval()


def trained(outputs=10, activation=nn.ReLU, before=None, temperature=1.0, epochs=30):
    """A network after a training with what is before it, and its scores divided."""
    torch.manual_seed(0)
    network = dense(outputs, activation)
    seen = before or nn.Identity()
    return fitted(network, lambda x, y: F.cross_entropy(network(seen(x)) / temperature, y), epochs)


@functools.cache
def plain():
    return trained(epochs=10)


def scaled():
    network = plain()
    return Control(Anonymous(lambda x: F.softmax(1000 * network(x), dim=1)), Rescale(network))


def one_hot():
    network = plain()
    deployed = Anonymous(lambda x: F.one_hot(network(x).argmax(dim=1), 10).float())
    return Control(deployed, Rescale(network))


def squeezed():
    torch.manual_seed(0)
    network = dense()
    fitted(network, lambda x, y: F.cross_entropy(torch.tanh(network(x) / 20), y))
    return Control(Anonymous(lambda x: torch.tanh(network(x))), Rescale(network, 20.0))


def distilled():
    network = trained(temperature=100.0, epochs=60)
    return Control(Anonymous(lambda x: F.softmax(network(x), dim=1)), Rescale(network, 100.0))


class Binarize(nn.Module):
    level_thresholds = (0.5,)

    def forward(self, x):
        return (x > 0.5).float()


class FourLevels(nn.Module):
    level_thresholds = (1 / 6, 1 / 2, 5 / 6)

    def forward(self, x):
        return torch.round(x * 3) / 3


def behind(transform):
    network = trained(before=transform)
    view = straight_through(transform, Rescale(network))
    return Control(Anonymous(lambda x: network(transform(x))), view)


class Winners(nn.Module):
    """k winners take all (Xiao et al. 2020, https://arxiv.org/abs/1905.10510)."""

    def forward(self, x):
        least = x.topk(x.shape[1] // 5, dim=1).values[:, -1:]
        return x * (x >= least).to(x.dtype)


def winners():
    network = trained(activation=Winners)
    layers = [BPDA(layer) if isinstance(layer, Winners) else layer for layer in network]
    return Control(Anonymous(lambda x: network(x)), Rescale(nn.Sequential(*layers)))


def noise():
    class Noise(nn.Module):
        def forward(self, x):
            return x + 0.3 * torch.randn_like(x)

    network, noisy = trained(before=Noise()), Noise()
    deployed = Anonymous(lambda x: network(noisy(x)))
    return Control(deployed, EOT(Rescale(deployed), 16), random=True)


def codewords():
    torch.manual_seed(0)
    words, network = 2 * torch.rand(10, 32) - 1, dense(32)
    fitted(network, lambda x, y: F.mse_loss(torch.tanh(network(x)), words[y]))
    straight = BPDA(nn.Tanh())

    def nearest(x):
        return F.one_hot(torch.cdist(torch.tanh(network(x)), words).argmin(dim=1), 10).float()

    view = Anonymous(lambda x: shrunk(-torch.cdist(straight(network(x)), words).square()))
    return Control(Anonymous(nearest), view)


def interpolated():
    """Labels of the nearest images, weighted by their distance, as WNLL has them at test time."""
    network = trained()
    features = nn.Sequential(*network[:-1])
    x, y, *_ = digits()
    with torch.no_grad():
        template, labels = features(x[:200]), F.one_hot(y[:200], 10).float()

    def deployed(x):
        squares = torch.cdist(features(x), template).square()
        near, index = squares.topk(15, dim=1, largest=False)
        weights = torch.zeros_like(squares).scatter(1, index, torch.exp(-near / near[:, 7:8]))
        return weights @ labels / weights.sum(dim=1, keepdim=True)

    def every(x):
        squares = torch.cdist(features(x), template).square()
        scale = squares.detach().topk(8, largest=False).values[:, -1:]
        classes = torch.where(labels.T.bool(), (-squares / scale).unsqueeze(1), -torch.inf)
        return shrunk(classes.logsumexp(dim=2))

    return Control(Anonymous(deployed), Anonymous(every))


def decided_by_numpy():
    network = plain()

    def deployed(x):
        with torch.no_grad():
            scores = network(x).numpy()
        return torch.from_numpy((scores == scores.max(axis=1, keepdims=True)).astype("float32"))

    return Control(Anonymous(deployed), Rescale(network))


def outside():
    """A function of NumPy alone, which has no gradient."""
    network = plain()
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    arrays = [[value.detach().numpy() for value in (layer.weight, layer.bias)] for layer in layers]

    def deployed(x):
        values = x.detach().flatten(1).numpy()
        for weight, bias in arrays[:-1]:
            values = (values @ weight.T + bias).clip(0)
        weight, bias = arrays[-1]
        return torch.from_numpy((values @ weight.T + bias).round())

    return Control(Anonymous(deployed), Rescale(network))


CONTROLS: dict[str, Callable[[], Control]] = {
    "squeezed": squeezed,
    "distilled": distilled,
    "x 1000": scaled,
    "one-hot": one_hot,
    "quantized": lambda: behind(FourLevels()),
    "binarized": lambda: behind(Binarize()),
    "k winners": winners,
    "noise": noise,
    "codewords": codewords,
    "interpolated": interpolated,
}


def robust_training():
    """A network that was trained on what PGD makes of its images."""
    torch.manual_seed(0)
    network = dense()

    def loss(x, y):
        crafted = craft(lambda view: PGD(view, 0.15, steps=5), network, x, y)
        return F.cross_entropy(network(crafted.x_adv), y)

    return fitted(network, loss, epochs=8)


def misclassified(view, judge, x, y, calls=1):
    """For each image, how often of several calls it is misclassified after `quick`'s PGD."""
    seeds = sample_seeds(0, torch.arange(len(x)))

    def build(view):
        losses = ["log_odds", "margin", "margin"]
        return PGD(view, BUDGET.eps, steps=15, falling=True, restarts=3, loss=losses)

    x_adv = craft(build, view, x, y, sample_seeds=seeds, judge=judge).x_adv
    with torch.no_grad():
        wrong = [(judge(x_adv).argmax(dim=1) != y).float() for _ in range(calls)]
    return torch.stack(wrong).mean(dim=0)
