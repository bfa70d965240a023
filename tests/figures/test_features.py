"""Features of two classes: where they are taken, how far apart they are, and their figure."""

import pytest
import torch
from PIL import Image
from torch import nn

from robust.defenses import WNLL, Standard
from robust.errors import ConfigError
from robust.figures.features import Separation, features_of, plot_features
from robust.transforms import FeatureSqueezing


def network(width=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, width))


def images(n=20):
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def clusters(distance, n=20_000):
    y = torch.arange(n) % 2
    points = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    points[:, 0] += distance * y
    return points, y


class TestFeatures:
    def test_of_most_defenses_are_what_the_last_layer_takes(self):
        defense, x = Standard(network()), images()
        torch.testing.assert_close(features_of(defense, x), defense.network[:3](x))
        assert defense.training

    def test_of_a_graph_are_its_points(self):
        defense, x = WNLL(network, template_size=30, num_classes=3, width=8), images()
        torch.testing.assert_close(features_of(defense, x), defense.network(x).relu())

    @pytest.mark.parametrize("kind", [Standard, WNLL])
    def test_behind_another_transform(self, kind):
        defense = kind(network() if kind is Standard else network, transform=FeatureSqueezing(1))
        own, x = defense.transform, images()
        squeezed = features_of(defense, x, own)
        assert not torch.equal(squeezed, features_of(defense, x))
        torch.testing.assert_close(squeezed, features_of(defense, own(x)))
        assert defense.transform is own

    def test_of_a_network_without_a_linear_layer(self):
        with pytest.raises(ConfigError, match="Sequential has none"):
            features_of(Standard(nn.Sequential(nn.Flatten())), images())


@pytest.mark.parametrize("distance", [0.5, 2.0, 6.0])
def test_separation_of_gaussians(distance):
    points, y = clusters(distance)
    found = Separation.from_features(points, y.bool())
    assert found.distance == pytest.approx(distance, rel=0.1)
    expected = torch.distributions.Normal(0, 1).cdf(torch.tensor(-distance / 2)).item()
    assert found.overlap == pytest.approx(expected, abs=0.02)
    assert Separation.from_features(7 * points, y.bool()).distance == pytest.approx(found.distance)


class TestFigure:
    def test_has_a_row_for_each_run(self, tmp_path):
        points, y = clusters(3.0, 40)
        kinds = {"clean": points, "FGSM": points + 0.1}
        sizes = []
        for runs in ({"a": kinds}, {"a": kinds, "b": {"clean": points[:, :1]}}):
            path = plot_features(runs, y, tmp_path / "x" / "f.png", names=("cat", "dog"))
            with Image.open(path) as image:
                sizes.append(image.size)
        assert sizes[0][0] == sizes[1][0]
        assert sizes[1][1] > 1.5 * sizes[0][1]

    @pytest.mark.parametrize(
        ("runs", "y"),
        [
            ({"a": {"clean": torch.rand(4, 3)}}, [0, 0, 0, 1]),
            ({"a": {"clean": torch.rand(4, 3)}}, [0, 0, 1, 2]),
            ({}, [0, 0, 1, 1]),
        ],
    )
    def test_of_what_are_not_two_classes(self, runs, y, tmp_path):
        with pytest.raises(ConfigError, match="two or more images of each of two classes"):
            plot_features(runs, torch.tensor(y), tmp_path / "f.png", names=("cat", "dog"))
