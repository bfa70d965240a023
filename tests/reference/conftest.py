"""Networks and peers of the reference tests; peers that are not installed are skipped."""

import sys
import types
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from robust.data.datasets import DATASETS
from robust.networks import TunaMnistCNN


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # waking a second one takes longer than the work itself
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def trained():
    """A network of four epochs on digits, and 24 test images that it gets right."""
    data = DATASETS["digits"].load(Path())
    x, y = data.train.x.float() / 255, data.train.y
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = TunaMnistCNN(dropout=0.0)
        optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        for _ in range(4):
            for rows in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                F.cross_entropy(network(x[rows]), y[rows]).backward()
                optimizer.step()
    optimizer.zero_grad()
    network.eval()
    x, y = data.test.x.float() / 255, data.test.y
    right = (network(x).argmax(dim=1) == y).nonzero().squeeze(1)[:24]
    assert len(right) == 24
    return network, x[right], y[right]


@pytest.fixture(scope="session")
def advlib():
    """adversarial-library, which imports a plot server for one logger."""
    visdom = types.ModuleType("visdom")
    visdom.Visdom = object
    with pytest.MonkeyPatch.context() as monkeypatch, warnings.catch_warnings():
        monkeypatch.setitem(sys.modules, "visdom", visdom)
        warnings.simplefilter("ignore")
        return pytest.importorskip("adv_lib.attacks")


@pytest.fixture(scope="session")
def foolbox():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("foolbox")


def _digits():
    """Images of 8x8 digits with their labels; the first 1400 are for training."""
    digits = load_digits()
    x = torch.tensor(digits.images / 16).float().unsqueeze(1)
    return x, torch.tensor(digits.target).long()


def _of_digits(eps):
    """A small network, trained by PGD within ``eps``, and 40 test images that it gets right."""
    x, y = _digits()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(256, 48),
            nn.ReLU(),
            nn.Linear(48, 10),
        )
        optimizer = torch.optim.Adam(network.parameters(), 2e-3)
        for _ in range(15):
            for rows in torch.randperm(1400).split(64):
                images = _climbed(network, x[rows], y[rows], eps) if eps else x[rows]
                optimizer.zero_grad()
                F.cross_entropy(network(images), y[rows]).backward()
                optimizer.step()
    optimizer.zero_grad()
    network.eval()
    x, y = x[1400:], y[1400:]
    right = (network(x).argmax(dim=1) == y).nonzero().squeeze(1)[:40]
    assert len(right) == 40
    return network, x[right], y[right]


def _climbed(network, x, y, eps, steps=5):
    moved = x + eps * (2 * torch.rand_like(x) - 1)
    for _ in range(steps):
        moved = moved.clamp(0, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(network(moved), y), moved)
        moved = (moved.detach() + eps / 2 * gradient.sign()).clamp(x - eps, x + eps)
    return moved.clamp(0, 1)


@pytest.fixture(scope="session")
def small():
    """A small network of 8x8 digits, and 40 test images that it gets right."""
    return _of_digits(0)


@pytest.fixture(scope="session")
def climbed():
    """The same one, trained by PGD within Linf 0.1."""
    return _of_digits(0.1)
