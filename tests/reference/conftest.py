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


@pytest.fixture(scope="session")
def small():
    """A small network of 8x8 digits, and 40 test images that it gets right."""
    digits = load_digits()
    x = torch.tensor(digits.images / 16).float().unsqueeze(1)
    y = torch.tensor(digits.target).long()
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
                optimizer.zero_grad()
                F.cross_entropy(network(x[rows]), y[rows]).backward()
                optimizer.step()
    optimizer.zero_grad()
    network.eval()
    x, y = x[1400:], y[1400:]
    right = (network(x).argmax(dim=1) == y).nonzero().squeeze(1)[:40]
    assert len(right) == 40
    return network, x[right], y[right]
