"""Several views are attacked in turn, and the worst of each image is kept."""

from functools import partial

import pytest
import torch
from torch import nn

from robust.attacks import DDN, PGD, craft
from robust.attacks.views import Several
from robust.evaluation.masking_signs import gradient_signs
from tests.support.oracles import LinearOracle


class Blind(nn.Module):
    """It has a gradient at images of one class alone."""

    def __init__(self, network, sees):
        super().__init__()
        self.network, self.sees = network, sees

    def forward(self, x):
        scores = self.network(x)
        seen = (scores.argmax(dim=1) == self.sees).view(-1, 1)
        return torch.where(seen, scores, scores.detach())


class Without(nn.Module):
    """It has no gradient at all."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x.detach())


def test_what_one_view_misses_another_finds():
    oracle = LinearOracle()
    x, y = oracle.samples(8)
    views = {str(label): Blind(oracle, label) for label in (0, 1)}

    def missed(view):
        x_adv = craft(partial(PGD, eps=0.1, random_start=False), view, x, y, judge=oracle).x_adv
        return oracle(x_adv).argmax(dim=1) == y

    for label in (0, 1):
        assert torch.equal(missed(views[str(label)]), y != label)
    assert not missed(Several(views)).any()
    assert not missed(Several(dict(reversed(views.items())))).any()


def test_without_a_budget_the_nearest_success_is_kept():
    oracle = LinearOracle()
    x, y = oracle.samples(4)

    class Short(nn.Module):
        """DDN needs longer on it, and ends further away."""

        def forward(self, x):
            return oracle(x) * torch.rand(len(x), 1)

    torch.manual_seed(0)
    views = [Short(), oracle]
    apart = [craft(lambda v: DDN(v, steps=5), view, x, y, judge=oracle).x_adv for view in views]
    both = craft(
        lambda v: DDN(v, steps=5), Several(dict(zip("ab", views, strict=True))), x, y, judge=oracle
    )
    nearest = torch.stack([(one - x).flatten(1).norm(dim=1) for one in apart]).amin(dim=0)
    assert torch.allclose((both.x_adv - x).flatten(1).norm(dim=1), nearest)
    assert both.forwards > 10


def test_a_gradient_is_zero_where_that_of_every_view_is():
    oracle = LinearOracle()
    x, y = oracle.samples(4)
    views = {str(label): Blind(oracle, label) for label in (0, 1)}
    assert gradient_signs(views["0"], x, y)[0].tolist() == (y == 1).tolist()
    assert not gradient_signs(Several(views), x, y)[0].any()


@pytest.mark.parametrize("attack", [lambda v: PGD(v, 0.1, steps=2), DDN])
def test_a_network_without_a_gradient_is_attacked_all_the_same(attack):
    oracle = LinearOracle()
    x, y = oracle.samples(4)
    view = Without(oracle)
    assert craft(attack, view, x, y).x_adv.shape == x.shape
    assert gradient_signs(view, x, y)[0].all()
