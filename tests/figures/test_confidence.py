"""Confidence over the plane: its values, its slope, and the figure."""

import math

import pytest
import torch
from matplotlib import image
from torch import nn

from robust.attacks import PGD
from robust.data import GaussianAugmentation, ImageDataModule
from robust.defenses import AdversarialTraining, Standard
from robust.errors import ConfigError
from robust.figures import confidence as module
from robust.figures.confidence import confidence, plot_confidence
from robust.networks.zantedeschi_toy import ZantedeschiToyNet


def steep(slope):
    """Confidence ``sigmoid(slope * (x0 - 1 / 2))`` in the second class."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[0.0, 0.0], [slope, 0.0]]))
        network[1].bias.copy_(torch.tensor([0.0, -slope / 2]))
    return network


def data(name="circles", **arguments):
    return ImageDataModule(name, batch_size=2, val_fraction=0.0, **arguments)


def test_confidence_and_slope_by_hand():
    made = confidence(Standard(steep(4.0)), points=5)
    expected = torch.sigmoid(4 * (torch.linspace(0, 1, 5) - 0.5))
    torch.testing.assert_close(made.p, expected.expand(5, 5))
    torch.testing.assert_close(made.slope, 4 * made.p * (1 - made.p))
    mean_square = (4 * expected * (1 - expected)).square().mean()
    assert made.roughness == pytest.approx(math.sqrt(mean_square))


def test_a_narrower_boundary_is_rougher():
    rough, smooth = (confidence(Standard(steep(slope))).roughness for slope in (40.0, 4.0))
    assert rough > 2 * smooth


def test_a_defense_is_left_as_it_was():
    defense = Standard(nn.Sequential(steep(1.0), nn.Dropout(0.9)))
    defense.train()
    state = torch.get_rng_state()
    first, again = confidence(defense, 3), confidence(defense, 3)
    assert torch.equal(first.p, again.p)
    assert defense.network[1].training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in defense.parameters())


def test_the_network_is_dense_with_one_activation():
    network = ZantedeschiToyNet(nn.Sigmoid)
    assert [type(layer).__name__ for layer in network.layers] == [
        *("Flatten", "Linear", "Linear", "Sigmoid", "Linear")
    ]
    assert network(torch.rand(3, 1, 1, 2)).shape == (3, 2)
    assert sum(p.numel() for p in network.parameters()) == 3 * 64 + 65 * 64 + 65 * 2


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.ckpt"
    state = {f"network.{key}": value for key, value in steep(4.0).state_dict().items()}
    torch.save({"state_dict": state}, path)
    return str(path)


def test_the_points_are_those_that_a_training_sees(source):
    clean, added = module._points(Standard(steep(1.0)), data())
    assert (len(clean.y), len(added.y)) == (20, 0)
    noisy = data(augmentation=GaussianAugmentation(copies=3, sigma=0.1, clip=True))
    clean, added = module._points(Standard(steep(1.0)), noisy)
    assert (len(clean.y), len(added.y)) == (20, 60)
    assert torch.equal(clean.x, noisy.train_samples(clean.index).x)
    defense = AdversarialTraining(
        steep(1.0), lambda m: PGD(m, 0.1, norm="L2", steps=1, random_start=False), source
    )
    defense.on_fit_start()
    clean, added = module._points(defense, data())
    assert (len(clean.y), len(added.y)) == (20, 20)
    assert 0.05 < (added.x - clean.x).flatten(1).norm(dim=1).max() <= 0.1 + 1e-6
    assert torch.equal(added.y, clean.y)


def test_the_figure_shows_every_run(tmp_path):
    noisy = data(augmentation=GaussianAugmentation(copies=3, sigma=0.1, clip=True))
    runs = {f"run {i}": (Standard(steep(2.0**i)), noisy if i % 2 else data()) for i in range(4)}
    few = plot_confidence({"a": runs["run 0"]}, tmp_path / "new" / "few.png")
    every = plot_confidence(runs, tmp_path / "every.png")
    small, large = (image.imread(path).shape for path in (few, every))
    assert large[0] > 1.9 * small[0]
    assert large[1] > 2 * small[1]


def test_runs_on_anything_else_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least one run"):
        plot_confidence({}, tmp_path / "x.png")
    wrong = {"a": (Standard(steep(1.0)), data()), "b": (Standard(steep(1.0)), data("digits"))}
    with pytest.raises(ConfigError, match=r"1x1x2, but got 1x28x28 and 10 classes in b\. Train"):
        plot_confidence(wrong, tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
