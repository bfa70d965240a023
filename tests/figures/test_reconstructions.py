"""Figures of what a transform makes of images."""

import pytest
import torch

from robust.errors import ConfigError
from robust.figures.reconstructions import plot_reconstructions
from robust.transforms import Binarize, TotalVariation


@pytest.fixture
def clean():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_each_row_and_what_becomes_of_it(clean, tmp_path, monkeypatch):
    plotted = {}
    save = "robust.figures.reconstructions.save_figure"
    monkeypatch.setattr(save, lambda figure, path: plotted.update(figure=figure) or path)
    transform = Binarize().train()
    adversarial = (clean + 0.1).clamp(0, 1)
    plot_reconstructions({"clean": clean, "adversarial": adversarial}, transform, tmp_path / "x")
    axes = plotted["figure"].axes
    assert len(axes) == 4 * 3
    names = [place.get_ylabel() for place in axes[::3]]
    assert names == ["clean", "clean,\nBinarize", "adversarial", "adversarial,\nBinarize"]
    shown = torch.from_numpy(axes[9].images[0].get_array().data).permute(2, 0, 1)
    assert torch.equal(shown, Binarize()(adversarial[:1])[0])
    distance = (adversarial[1] - clean[1]).square().mean().sqrt()
    assert [axes[1].get_xlabel(), axes[7].get_xlabel()] == ["", f"RMS {distance:.3f}"]
    assert transform.training


def test_a_file_is_written(clean, tmp_path):
    transform = TotalVariation(iterations=5)
    path = plot_reconstructions({"clean": clean[:, :1]}, transform, tmp_path / "new" / "x.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("other", [None, (2, 3, 8, 8), (0, 3, 8, 8)])
def test_rows_that_do_not_fit(clean, tmp_path, other):
    rows = {} if other is None else {"clean": clean, "other": torch.zeros(other)}
    if other is not None and not other[0]:
        rows = {"other": torch.zeros(other)}
    with pytest.raises(ConfigError, match="rows of images of one shape"):
        plot_reconstructions(rows, Binarize(), tmp_path / "x.png")
