"""Exact ties and exact zeros."""

import torch
from torch import nn

from robust.evaluation.masking_signs import has_tie, has_zero_gradient


def test_ties_are_exact():
    scores = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0 - 1e-7, 0.0], [0.0, 2.0, 1.0]])
    assert has_tie(scores).tolist() == [True, False, False]


def test_zero_gradients_are_exact_and_per_sample():
    class Gated(nn.Module):
        """The gradient of an image is zero exactly where its first pixel is zero."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            flat = x.flatten(1)
            score = self.weight * flat[:, :1].square()
            return torch.cat([score, -score], dim=1)

    x = torch.rand(4, 1, 2, 2) + 0.1
    x[1, 0, 0, 0] = 0
    network = Gated().train()
    with torch.inference_mode():
        result = has_zero_gradient(network, x, torch.zeros(4, dtype=torch.int64))
    assert result.tolist() == [False, True, False, False]
    assert network.training
    assert network.weight.grad is None


def test_a_gradient_that_is_not_a_number_is_none():
    class Rooted(nn.Module):
        """Finite scores; the root has no gradient where its argument is zero."""

        def forward(self, x):
            kept = x.flatten(1) * (x.flatten(1) > 0)
            score = kept.sqrt().sum(dim=1, keepdim=True)
            return torch.cat([score, -score], dim=1)

    x = torch.rand(3, 1, 2, 2) + 0.1
    x[1, 0, 0, 0] = 0
    network = Rooted()
    assert network(x).isfinite().all()
    result = has_zero_gradient(network, x, torch.zeros(3, dtype=torch.int64))
    assert result.tolist() == [False, True, False]
