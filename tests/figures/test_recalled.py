"""The figure of recalled images shows what the defense says."""

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from robust.defenses import Recall, Standard
from robust.errors import ConfigError
from robust.figures.one_image import plot_figures
from robust.figures.recalled import Recalls, plot_recalled
from robust.types import Batch


@pytest.fixture
def plotted(monkeypatch):
    """Figures that were saved."""
    figures = []
    save = Figure.savefig

    def keep(figure, *arguments, **settings):
        figures.append(figure)
        save(figure, *arguments, **settings)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


class Same(nn.Module):
    """The image itself, flattened."""

    def __init__(self, length):
        super().__init__()
        self.length = length

    def forward(self, x):
        return x.flatten(1)


def recall():
    model = Recall(Same, (1, 4, 4), num_classes=3).eval()
    model.representatives.zero_()
    for label in range(3):
        model.representatives[label, 4 * label : 4 * label + 4] = 1
    return model


def batch(labels):
    x = recall().representatives[[0, 1, 2, 0]].view(-1, 1, 4, 4)
    return Batch(x, torch.tensor(labels), torch.arange(4))


def test_shows_one_of_each_class_and_what_it_is_taken_for(plotted, tmp_path):
    path = plot_recalled(recall(), batch([0, 2, 1, 0]), tmp_path / "new" / "x.png")
    assert path.is_file()
    (figure,) = plotted
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:3] == ["class 0", "class 1", "class 2"]
    assert titles[6:] == ["says 0", "says 2", "says 1"]
    assert [axes.title.get_weight() for axes in figure.axes[6:]] == ["normal", "bold", "bold"]
    shown = [axes.images[0].get_array() for axes in figure.axes]
    for first, second in zip(shown[:3], shown[6:], strict=True):
        assert (first == second).all()  # the network recalls what it sees, which is the nearest


def test_no_more_than_asked_for(plotted, tmp_path):
    plot_recalled(recall(), batch([0, 1, 2, 0]), tmp_path / "x.png", count=2)
    assert len(plotted[0].axes) == 6


def test_nothing_to_show(tmp_path):
    with pytest.raises(ConfigError, match="an image and a `count` of at least 1, but got 4 and 0"):
        plot_recalled(recall(), batch([0, 1, 2, 0]), tmp_path / "x.png", count=0)


def test_is_one_of_the_figures_of_a_defense_that_recalls(tmp_path):
    files = plot_figures(recall(), batch([0, 1, 2, 0]), tmp_path, target=1, eps=0.1)
    assert files["figures/recalled"] == tmp_path / "recalled.png"
    assert files["figures/recalled"].is_file()
    assert not isinstance(Standard(Same(16)), Recalls)
