"""Points in the plane, against what they are meant to be."""

import numpy as np
import pytest
import torch

from robust.data import ImageDataModule


def points(samples):
    """Coordinates in the paper's square, and classes."""
    return samples.x.flatten(1).double() * 2 - 1, samples.y


def module(name, **arguments):
    return ImageDataModule(name, batch_size=2, val_fraction=0.0, **arguments)


@pytest.mark.parametrize("name", ["circles", "moons"])
def test_twenty_points_fill_the_square_half_of_each_class(name):
    data = module(name)
    x, y = points(data.train_samples(torch.arange(20)))
    assert y.bincount().tolist() == [10, 10]
    assert (x.min(), x.max()) == (-1, 1)
    assert len(x.unique(dim=0)) == 20
    test, labels = points(data.test_samples(0, data.test_size))
    assert labels.bincount().tolist() == [100, 100]
    assert not torch.equal(labels[:20], y)
    # The nearest training point is of the same class.
    assert (y[torch.cdist(test, x).argmin(dim=1)] == labels).double().mean() > 0.9
    assert torch.equal(x, points(module(name).train_samples(torch.arange(20)))[0])


def test_circles_have_radii_of_one_and_six_tenths():
    for samples in (
        module("circles").train_samples(torch.arange(20)),
        module("circles").test_samples(0, 200),
    ):
        x, y = points(samples)
        # Stretched to the square, and rounded to 255ths of its side.
        np.testing.assert_allclose(x.norm(dim=1), torch.where(y == 1, 0.6, 1.0), atol=0.06)


def test_moons_are_halves_of_ellipses():
    x, y = points(module("moons").test_samples(0, 200))
    low = x[y == 0, 1].min(), x[y == 1, 1].min()
    assert low[0] > low[1]  # the first opens downwards
    assert x[y == 0, 0].mean() < x[y == 1, 0].mean()
