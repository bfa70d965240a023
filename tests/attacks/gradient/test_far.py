"""Starts that come from another class's side find what random ones do not."""

from functools import partial

import pytest
import torch
from torch import nn

from robust.attacks import PGD, craft, sample_seeds
from robust.errors import ConfigError
from robust.losses import NAMED
from tests.support.oracles import LinearOracle


class Decoy(nn.Module):
    """Class 1 seems nearest and cannot be reached; class 2 can, the other way."""

    def __init__(self):
        super().__init__()
        self.way = LinearOracle().w

    def forward(self, x):
        s = (x.flatten(1) - 0.5) @ self.way / self.way.abs().sum()
        return torch.stack([0 * s, -0.13 - s, -0.85 + 9 * s], dim=1)


class Named(Decoy):
    """It names the losses of an attacker, also that of one who aims at a class."""

    def objective(self, outputs, y):
        return NAMED["margin"](outputs, y)

    def targeted_objective(self, outputs, target):
        return -outputs.gather(1, target.view(-1, 1)).squeeze(1)


IMAGES = torch.full((4, 1, 5, 5), 0.5)
LABELS = torch.zeros(4, dtype=torch.long)
EPS = {"Linf": 0.1, "L2": 0.45}


def found(network, norm, target=None, x=IMAGES, **arguments):
    pgd = partial(PGD, eps=EPS[norm], norm=norm, steps=10, falling=True, loss="margin", **arguments)
    seeds, y = sample_seeds(0, torch.arange(len(x))), LABELS[: len(x)]
    x_adv = craft(pgd, network, x, y, target=target, sample_seeds=seeds).x_adv
    return network(x_adv).argmax(dim=1), x_adv


@pytest.mark.parametrize("norm", EPS)
def test_they_find_what_random_starts_do_not(norm):
    network = Decoy()
    assert found(network, norm, restarts=3)[0].tolist() == [0] * 4
    assert found(network, norm, restarts=2, far_steps=10)[0].tolist() == [2] * 4
    # The first start is that of the class which seems nearest, and later ones begin with it again.
    assert found(network, norm, restarts=1, far_steps=10)[0].tolist() == [0] * 4
    assert found(network, norm, restarts=4, far_steps=10)[0].tolist() == [2] * 4


def test_a_target_is_what_they_aim_at():
    target = torch.full((4,), 2)
    assert found(Decoy(), "Linf", target, far_steps=10)[0].tolist() == [2] * 4


def test_a_view_says_what_they_climb():
    assert found(Named(), "Linf", restarts=2, far_steps=10)[0].tolist() == [2] * 4


def test_an_image_does_not_depend_on_the_others():
    arguments = {"restarts": 2, "far_steps": 3}
    torch.testing.assert_close(
        found(Decoy(), "Linf", x=IMAGES[:1], **arguments)[1],
        found(Decoy(), "Linf", **arguments)[1][:1],
    )


def test_their_number_is_checked():
    with pytest.raises(ConfigError, match="`far_steps` to be at least 0, but got -1"):
        PGD(Decoy(), far_steps=-1)
