"""Cells of quantizing transforms: their ends are exact, and a point goes to the nearest of them."""

import pytest
import torch
from torch import nn

from robust.transforms import (
    Binarize,
    BitDepthReduction,
    FeatureSqueezing,
    MedianSmoothing,
    TotalVariation,
)
from robust.transforms.quantized import Cells, Quantized

QUANTIZED = [
    Binarize(),
    Binarize(0.9),
    *(FeatureSqueezing(bits) for bits in (1, 3, 8)),
    *(BitDepthReduction(bits) for bits in (1, 4, 7)),
]
DTYPES = [torch.float32, torch.float64]
each = pytest.mark.parametrize("transform", QUANTIZED, ids=lambda t: type(t).__name__)
typed = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def pixels(values):
    return values.view(1, 1, 1, -1)


@each
def test_they_say_where_their_levels_change(transform):
    assert isinstance(transform, Quantized)
    grid = torch.linspace(0, 1, 10_001)
    levels = transform(pixels(grid)).flatten()
    thresholds = torch.tensor(transform.level_thresholds)
    number = torch.bucketize(grid, thresholds)
    near = (grid.view(-1, 1) - thresholds).abs().amin(dim=1) < 1e-5
    assert torch.equal(levels.unique()[number][~near], levels[~near])


@pytest.mark.parametrize("transform", [MedianSmoothing(), TotalVariation(), nn.Identity()])
def test_what_mixes_pixels_or_keeps_them_does_not(transform):
    assert not isinstance(transform, Quantized)


@each
@typed
def test_the_ends_of_cells_are_exact(transform, dtype):
    cells = Cells.of(transform, torch.zeros(1, dtype=dtype))
    assert cells.low[0] == 0
    assert cells.high[-1] == 1
    above = torch.nextafter(cells.high[:-1], torch.ones(1, dtype=dtype))
    assert torch.equal(above, cells.low[1:])
    low, high = (transform(pixels(end)).flatten() for end in cells)
    assert torch.equal(low, high)
    assert len(low.unique()) == len(low) == len(transform.level_thresholds) + 1


@each
@typed
def test_the_nearest_is_quantized_alike_and_nearer_in_each_value(transform, dtype):
    random = torch.Generator().manual_seed(0)
    x, x_adv = torch.rand(2, 5, 1, 8, 8, generator=random, dtype=dtype)
    x[0, 0, 0, :2], x_adv[0, 0, 0, :2] = torch.tensor([0, 1]), torch.tensor([1, 0])
    near = Cells.of(transform, x).nearest(x, x_adv)
    assert near.dtype == dtype
    assert torch.equal(transform(near), transform(x_adv))
    assert ((near - x).abs() <= (x_adv - x).abs()).all()
    same = transform(x) == transform(x_adv)
    assert torch.equal(near[same], x[same])
    # One number of the type nearer has another level.
    nearer = torch.nextafter(near, x)
    assert (transform(nearer) != transform(x_adv))[~same].all()


def test_the_nearest_of_a_cell_by_hand():
    x = torch.tensor([0.1, 0.1, 0.9, 0.9, 0.6]).view(1, 1, 1, 5)
    x_adv = torch.tensor([0.3, 0.8, 0.7, 0.0, 0.6]).view(1, 1, 1, 5)
    near = Cells.of(Binarize(0.5), x).nearest(x, x_adv)
    below = torch.nextafter(torch.tensor(0.5), torch.tensor(0.0)).item()
    expected = torch.tensor([0.1, 0.5, 0.9, below, 0.6])
    assert torch.equal(near.flatten(), expected)


def test_a_threshold_may_belong_to_the_level_below():
    class Above(nn.Module):
        level_thresholds = (0.5,)

        def forward(self, x):
            return (x > 0.5).to(x.dtype)

    cells = Cells.of(Above(), torch.zeros(1))
    assert cells.high[0] == 0.5
    assert cells.low[1] == torch.nextafter(torch.tensor(0.5), torch.tensor(1.0))
