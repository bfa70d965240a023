"""`robust verify`: a tie of float32 is told, and accuses no evaluation."""

import torch
from torch import nn

from robust.attacks.craft import isolated
from robust.commands.evidence import rescored
from robust.types import Batch


class Tying(nn.Module):
    """Two classes differ by less than float32 tells apart."""

    def forward(self, x):
        return torch.stack([x.sum(dim=(1, 2, 3)) * 0 + 1, x.sum(dim=(1, 2, 3)) * 1e-12 + 1], dim=1)


def tied(x, y):
    clean = Batch(x, y, torch.arange(len(x)))
    return rescored._is_tied(Tying(), x, clean, 7).tolist()


def test_a_class_that_wins_a_tie_by_its_position_is_one():
    x = torch.ones(9, 1, 2, 2)
    with isolated(Tying(), x.device, 0):
        assert tied(x, torch.ones(9, dtype=torch.long)) == [True] * 9
        assert tied(x, torch.zeros(9, dtype=torch.long)) == [False] * 9  # classified correctly
        assert tied(x.double(), torch.zeros(9, dtype=torch.long)) == [False] * 9  # it decides
