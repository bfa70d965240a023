"""L-BFGS: the oracle's distance, SciPy's minima, and odd views."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from scipy import optimize
from torch import nn

from robust.attacks.craft import craft
from robust.attacks.minimal.lbfgs import LBFGS, minimize
from robust.errors import ConfigError
from tests.attacks.gradient.test_jsma import SHAPES, Shaped, images
from tests.support.cases import of_all
from tests.support.oracles import LinearOracle


# Each setting is in one of the first three.
@pytest.mark.parametrize(
    ("n", "classes", "scale", "targeted"),
    of_all(
        product([1, 64], [2, 3], [1.0, 1000.0], [False, True]),
        default=[
            (64, 3, 1.0, True),
            (64, 2, 1.0, False),
            (1, 3, 1000.0, False),
        ],
    ),
)
def test_the_oracle_falls_within_five_percent_of_the_distance(n, classes, scale, targeted):
    oracle = LinearOracle(classes, scale)
    x, y = oracle.samples(n)
    x_adv = craft(LBFGS, oracle, x, y, target=1 - y if targeted else None).x_adv
    assert (oracle(x_adv).argmax(dim=1) != y).all()
    ratio = (x_adv - x).flatten(1).norm(dim=1) / oracle.budget("L2")
    assert ratio.min() > 0.9999
    assert ratio.max() < 1.05


def test_a_search_of_more_steps_comes_nearer():
    oracle = LinearOracle()
    x, y = oracle.samples(4)

    def distance(search_steps):
        attack = lambda m: LBFGS(m, search_steps=search_steps)  # noqa: E731
        return (craft(attack, oracle, x, y).x_adv - x).flatten(1).norm(dim=1)

    assert (distance(14) < distance(5)).all()
    assert (distance(14) < 1.005 * oracle.budget("L2")).all()


def test_the_weight_of_the_loss_grows_until_it_suffices():
    oracle = LinearOracle()
    x, y = oracle.samples(4)
    too_few = craft(lambda m: LBFGS(m, c=1e-4, search_steps=3), oracle, x, y).x_adv
    assert torch.equal(too_few, x)
    enough = craft(lambda m: LBFGS(m, c=1e-4, search_steps=5), oracle, x, y).x_adv
    assert (oracle(enough).argmax(dim=1) != y).all()


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_the_minima_are_those_of_scipy(c):
    model = Shaped(SHAPES["raw"]).double()
    x = images(12, dtype=torch.float64)
    goal = (model(x).argmax(dim=1) + 1) % 3
    start = x.flatten(1)

    def objective(points, index):
        points = points.detach().requires_grad_()
        values = (points - start[index]).square().sum(dim=1)
        scores = model(points.view(-1, 1, 6, 6))
        values = values + c * F.cross_entropy(scores, goal[index], reduction="none")
        (gradient,) = torch.autograd.grad(values.sum(), points)
        return values.detach(), gradient

    def one(i):
        def function(point):
            value, gradient = objective(torch.from_numpy(point)[None], torch.tensor([i]))
            return value.item(), gradient[0].numpy()

        return optimize.minimize(
            function, start[i].numpy(), jac=True, method="L-BFGS-B", bounds=[(0, 1)] * 36
        ).fun

    ours = objective(minimize(objective, start, 200, 5), torch.arange(12))[0]
    theirs = torch.tensor([one(i) for i in range(12)], dtype=torch.float64)
    # The network is not convex: one start may lead each to another minimum.
    ratio = ours / theirs
    assert ratio.median() < 1.001
    assert ratio.mean() < 1.01


def test_a_quadratic_in_the_box_is_minimized_exactly():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(5, 8, 8, generator=generator, dtype=torch.float64)
    hessian = root @ root.mT + 0.1 * torch.eye(8, dtype=torch.float64)
    center = 2 * torch.rand(5, 8, generator=generator, dtype=torch.float64) - 0.5

    def objective(points, index):
        offset = points - center[index]
        gradient = (hessian[index] @ offset[..., None])[..., 0]
        return 0.5 * (offset * gradient).sum(dim=1), gradient

    start = torch.full((5, 8), 0.5, dtype=torch.float64)
    found = minimize(objective, start, 500, 8)
    assert ((found >= 0) & (found <= 1)).all()
    value = objective(found, torch.arange(5))[0]
    # Projected gradient, slow and sure.
    sure = start
    for _ in range(4000):
        sure = (sure - 0.02 * objective(sure, torch.arange(5))[1]).clamp(0, 1)
    torch.testing.assert_close(value, objective(sure, torch.arange(5))[0], rtol=1e-3, atol=1e-9)


def test_scores_that_are_no_numbers_leave_the_image():
    model = Shaped(lambda z: torch.cat([z[:, :1], z[:, 1:] * torch.nan], dim=1))
    x = images(3)
    y = model(x).argmax(dim=1)
    assert torch.equal(craft(LBFGS, model, x, y).x_adv, x)


def test_a_view_that_ignores_its_pixels():
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.tensor([0.0, 1.0]))

        def forward(self, x):
            return self.bias.expand(len(x), 2)

    x = images(3)
    assert torch.equal(craft(LBFGS, Blind(), x, torch.ones(3, dtype=torch.int64)).x_adv, x)


def test_the_views_own_objective_is_what_it_lowers():
    class Reversed(nn.Module):
        """Its gradient leads the cross-entropy attacker away, its objective does not."""

        def __init__(self):
            super().__init__()
            self.network = Shaped(SHAPES["raw"])
            self.asked = 0

        def forward(self, x):
            z = self.network(x)
            return 2 * z.detach() - z

        def objective(self, outputs, y):
            self.asked += 1
            return F.cross_entropy(-outputs, y, reduction="none")

    model = Reversed()
    x = images(8)
    y = model(x).argmax(dim=1)
    goal = (y + 1) % 3
    for target in (None, goal):
        x_adv = craft(LBFGS, model, x, y, target=target).x_adv
        predicted = model(x_adv).argmax(dim=1)
        assert (predicted != y if target is None else predicted == goal).all()
    assert model.asked > 0


def test_weights_are_left_without_gradients():
    model = Shaped(SHAPES["raw"])
    x = images(4)
    LBFGS(model)(x, model(x).argmax(dim=1))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_has_no_eps():
    assert not hasattr(LBFGS(Shaped(SHAPES["raw"])), "eps")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"c": 0.0}, r"Expected `c` to be positive, but got 0.0\. Start small"),
        ({"c": float("inf")}, "Expected `c` to be positive, but got inf"),
        ({"c": float("nan")}, "Expected `c` to be positive, but got nan"),
        ({"search_steps": 0}, "Expected `search_steps` to be at least 1, but got 0"),
        ({"steps": 0}, "Expected `steps` to be at least 1, but got 0"),
        ({"memory": 0}, "Expected `memory` to be at least 1, but got 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        LBFGS(Shaped(SHAPES["raw"]), **arguments)
