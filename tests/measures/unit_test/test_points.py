"""Points inside of a threat model and at its edge are where they are said to be."""

import pytest
import torch

from robust.measures.unit_test.points import edge_points, inner_points
from robust.threat import ThreatModel

MODELS = [ThreatModel("Linf", 0.2), ThreatModel("L2", 1.5), ThreatModel("Linf", 0.5)]


def image(kind):
    random = torch.Generator().manual_seed(0)
    x = torch.rand(1, 8, 8, generator=random)
    return {"gray": x, "black": torch.zeros_like(x), "binary": x.round()}[kind]


@pytest.mark.parametrize("kind", ["gray", "black", "binary"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_inner_points_are_well_within(model, kind):
    x = image(kind)
    points = torch.cat(list(inner_points(model, x, 50, torch.Generator().manual_seed(0))))
    assert torch.equal(points[0], x)
    assert points.shape == (50, 1, 8, 8)
    assert points.min() >= 0
    assert points.max() <= 1
    distances = model.distance(x.expand_as(points), points)
    assert distances.max() <= 0.95 * model.eps + 1e-6
    assert len(points.flatten(1).unique(dim=0)) == 50


@pytest.mark.parametrize("kind", ["gray", "black", "binary"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_edge_points_are_at_the_edge(model, kind):
    x = image(kind)
    points = edge_points(model, x.expand(20, *x.shape), torch.Generator().manual_seed(0))
    assert points.min() >= 0
    assert points.max() <= 1
    distances = model.distance(x.expand_as(points), points)
    torch.testing.assert_close(distances, torch.full_like(distances, model.eps), rtol=1e-4, atol=0)
    assert (distances <= model.limit).all()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_many_points_of_a_large_image_are_made_in_parts(norm):
    x = torch.full((3, 224, 224), 0.5)
    parts = list(inner_points(ThreatModel(norm, 0.1), x, 120, torch.Generator().manual_seed(0)))
    assert sum(map(len, parts)) == 120
    assert max(part.numel() for part in parts) <= 2**23
    assert len(torch.cat([part.flatten(1)[:, :9] for part in parts]).unique(dim=0)) == 120
