"""A pass has other gradients, and computes exactly what it computed before."""

import pytest
import torch
import torch.nn.functional as F

from robust.attacks.adaptive.mode import OtherGradient
from robust.attacks.adaptive.slopes import Recipe

TABLE = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
POINTS = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))


def set_by_mask(x):
    result = torch.zeros_like(x)
    result[x > 0.5] = 1.0
    return result


def winners(x):
    return x * (x >= x.topk(3, dim=1)[0][:, -1:]).to(x.dtype)


def scattered_winners(x):
    return torch.zeros_like(x).scatter_(1, x.topk(3, dim=1).indices, 1.0) * x


@torch.no_grad()
def without_gradient(x):
    return 2 * x


HIDING = {
    "x > t": lambda x: (x > 0.5).float(),
    "x <= t": lambda x: (x <= 0.5) * 1.0,
    "torch.gt": lambda x: torch.gt(x, 0.5).type_as(x),
    "not": lambda x: (~(x > 0.5)).to(x.dtype),
    "and": lambda x: ((x > 0.2) & (x < 0.8)).float(),
    "or": lambda x: ((x < 0.2) | (x > 0.8)).float(),
    "where": lambda x: torch.where(x > 0.5, torch.ones_like(x), torch.zeros_like(x)),
    "masked_fill": lambda x: torch.ones_like(x).masked_fill(x < 0.5, 0.0),
    "x[mask] = 1": set_by_mask,
    "count": lambda x: (x > 0.5).sum(dim=1, keepdim=True) / 6,
    "round": lambda x: torch.round(x * 4) / 4,
    "round_": lambda x: (x * 4).round_() / 4,
    "aten.round": lambda x: torch.ops.aten.round.default(x * 4),
    "floor": lambda x: torch.floor(x * 4) / 4,
    "ceil": lambda x: (x * 4).ceil(),
    "//": lambda x: x // 0.25,
    "uint8": lambda x: (x * 255).to(torch.uint8).float() / 255,
    "long": lambda x: (x * 9).long().float(),
    "sign": lambda x: torch.sign(x - 0.5),
    "heaviside": lambda x: torch.heaviside(x - 0.5, torch.ones(())),
    "bucketize": lambda x: torch.bucketize(x, torch.tensor([0.25, 0.5])).float(),
    "levels": lambda x: torch.tensor([0.0, 0.3, 1.0])[torch.bucketize(x, torch.tensor([0.3, 0.6]))],
    "one_hot": lambda x: F.one_hot(x.argmax(dim=1), 6).float(),
    "scatter": lambda x: torch.zeros_like(x).scatter(1, x.argmax(dim=1, keepdim=True), 1.0),
    "== max": lambda x: (x == x.max(dim=1, keepdim=True).values).float(),
    "table[argmax]": lambda x: TABLE[x.argmax(dim=-1)],
    "embedding": lambda x: F.embedding(x.max(dim=1).indices, TABLE),
    "index_select": lambda x: torch.index_select(TABLE, 0, x.argmin(dim=1)),
    "nearest": lambda x: F.one_hot(torch.cdist(x, POINTS).argmin(dim=1), 4).float(),
    "winners": winners,
    "scattered winners": scattered_winners,
    "tanh": lambda x: torch.tanh(1000 * x),
    "sigmoid": lambda x: torch.sigmoid(-1000 * x),
    "softmax": lambda x: F.softmax(1000 * x, dim=1),
    "torch.nn.Softmax": lambda x: torch.nn.Softmax(dim=1)(1000 * x),
    "exp": lambda x: torch.exp(-1000 * x),
    "detach": lambda x: 2 * x.detach(),
    "data": lambda x: 2 * x.data,
    "no_grad": without_gradient,
}
RECIPES = {"straight": Recipe("straight", "straight"), "soft": Recipe("soft", "soft")}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", HIDING)
def test_values_stay_and_a_gradient_appears(name, recipe):
    function = HIDING[name]
    x = torch.rand(3, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    expected = function(x.detach())
    inner = x * 1
    with OtherGradient(RECIPES[recipe]):
        returned = function(inner)
    assert torch.equal(returned, expected)
    weights = torch.linspace(0.5, 2, returned.shape[-1])
    (gradient,) = torch.autograd.grad((returned * weights).sum(), x)
    assert gradient.isfinite().all()
    # Straight slopes of both ends of a range cancel within it.
    least = 0.3 if name in ("and", "or") else 0.9
    assert (gradient != 0).float().mean() > least


def test_without_gradients_nothing_changes():
    x = torch.rand(3, 6)
    with torch.no_grad(), OtherGradient(Recipe()):
        assert not winners(x).requires_grad


def test_code_outside_of_torch_is_called_all_the_same():
    x = torch.rand(3, 6).requires_grad_()
    with OtherGradient(Recipe()):
        returned = torch.from_numpy(2 * x.numpy())
    assert torch.equal(returned, 2 * x.detach())


def test_a_gradient_points_uphill():
    """The soft step of a value near its threshold is steeper than that of one far away."""
    x = torch.tensor([[0.49, 0.01, 0.99]]).requires_grad_()
    with OtherGradient(Recipe("soft")):
        returned = (x > 0.5).float()
    (gradient,) = torch.autograd.grad(returned.sum(), x)
    assert (gradient > 0).all()
    assert gradient[0, 0] > 5 * gradient[0, 1]
