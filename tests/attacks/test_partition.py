"""An image's result does not depend on who shares the batch with it."""

import pytest
import torch
from torch import nn

from robust.attacks import craft, sample_seeds
from tests.support.cases import of_all
from tests.support.every_attack import EVERY, FIRST_OF_CLASS

N = 12


class Curved(nn.Module):
    """A small network, computed in float64 and rounded.

    Matrix products of other sizes sum in another order. In float32 nothing is left of that.
    """

    def __init__(self, classes=4):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        shapes = [(75, 16), (16, classes)]
        self.weights = nn.ParameterList(
            torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes
        )

    def forward(self, x):
        hidden = torch.tanh((x.flatten(1).double() - 0.5) @ self.weights[0] / 2)
        return (hidden @ self.weights[1]).to(x.dtype)


class Flat(Curved):
    """Without a gradient, so that what is random decides."""

    def forward(self, x):
        scores = super().forward(x)
        return (scores == scores.amax(dim=1, keepdim=True)).to(x.dtype) + 0 * scores


def parts_and_full(name, network, *, sizes, targeted=False):
    """The results of the images in batches of these sizes, and that of all images together."""
    short = EVERY[name]
    x = torch.rand(N, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    y = network(x).argmax(dim=1)
    target = (y + 1) % 4 if targeted else None
    seeds = sample_seeds(5, torch.arange(N))

    def crafted(rows, seed):
        return craft(
            # Some images are robust within such radii, so that AutoAttack comes to its last parts.
            lambda m: short.build(m, {"Linf": 0.02, "L2": 0.2, "L1": 0.8, "L0": 0.0}[short.norm]),
            network,
            x[rows],
            y[rows],
            target=None if target is None else target[rows],
            seed=seed,
            sample_seeds=seeds[rows],
        ).x_adv

    full = crafted(torch.arange(N), 0)
    assert not torch.equal(full, x)
    parts = enumerate(torch.arange(N).split(sizes), start=1)
    return torch.cat([crafted(rows, seed) for seed, rows in parts]), full


# The others are equal to the last bit. The last bits of vectorized tanh differ with the place in
# memory. HopSkipJump sums over as many random points at a time as fit the batch.
ROUNDED = {"CarliniWagner", "HopSkipJump L2", "HopSkipJump Linf"}


# Every image in company of other numbers, and two by themselves; all of them so if there is time.
UNEVEN = [1, 5, 1, 3, 2]
SINGLE = [1] * N


UNTARGETED = [(name, False) for name in EVERY]
FIRST_UNTARGETED = [(name, False) for name in FIRST_OF_CLASS]
TARGETED = [(name, True) for name in EVERY if EVERY[name].targeted]


@pytest.mark.parametrize(
    ("name", "targeted"),
    of_all([*UNTARGETED, *TARGETED], default=[*FIRST_UNTARGETED, *TARGETED[::6]]),
)
def test_parts_and_single_images_give_what_the_full_batch_gives(name, targeted):
    # Targets change nothing about who works on what; halves say so for less.
    check(name, [6, 6] if targeted else UNEVEN, targeted)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_each_image_by_itself_gives_what_the_full_batch_gives(name):
    check(name, SINGLE)


def check(name, sizes, targeted=False):
    network = Curved()
    together, full = parts_and_full(name, network, targeted=targeted, sizes=sizes)
    assert torch.equal(network(together).argmax(dim=1), network(full).argmax(dim=1))
    if name in ROUNDED:
        torch.testing.assert_close(together, full, atol=1e-6, rtol=0)
    else:
        assert torch.equal(together, full)


@pytest.mark.parametrize("name", ["DDN", "PGD Linf", "PGD L2", "APGD Linf", "RandomFGSM"])
def test_so_does_what_is_random_where_there_is_no_gradient(name):
    together, full = parts_and_full(name, Flat(), sizes=UNEVEN)
    assert torch.equal(together, full)
