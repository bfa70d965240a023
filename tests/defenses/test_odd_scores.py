"""Networks whose scores are no plain tensor, or that end the process, are told in one line."""

import sys

import pytest
import torch
from torch import nn

from robust.defenses.probe import Probe
from robust.errors import ConfigError

IMAGES = torch.rand(2, 1, 4, 4)


class Odd(nn.Module):
    def __init__(self, change, mode):
        super().__init__()
        self.linear, self.change, self.mode = nn.Linear(16, 3), change, mode

    def forward(self, x):
        scores = self.linear(x.flatten(1))
        return self.change(scores) if self.training == (self.mode == "train") else scores


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda scores: scores.to_sparse(), "a dense tensor on cpu, but in {} .* torch.sparse_coo"),
        (lambda scores: scores.to("meta"), r"{} mode it returned torch.strided on meta\. Return"),
        (lambda scores: sys.exit(5), r"Odd does not take them.* \(SystemExit: 5\)"),
        (lambda scores: sys.exit("bye"), r"Odd does not take them.* \(SystemExit: bye\)"),
    ],
)
def test_what_it_returns_is_said(change, said, mode):
    probe = Probe(Odd(change, mode), IMAGES, "some images")
    with pytest.raises(ConfigError, match=said.format(mode)):
        probe.check_eval() if mode == "eval" else probe.check_training(16)


def test_a_plain_network_passes():
    probe = Probe(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), IMAGES, "some images")
    probe.check_eval()
    probe.check_training(1)
