"""`craft` fences an attack off: modes, random state, gradients, inference mode, precision."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchattacks
from torch import nn

from robust.attacks import PGD, HopSkipJump, craft
from tests.support.oracles import SHAPE, LinearOracle

N = 6


class SmallNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.BatchNorm2d(1).eval()
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(25, 4)

    def forward(self, x):
        return self.linear(self.dropout(self.frozen(x)).flatten(1))


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.rand(N, *SHAPE), torch.arange(N) % 4


def states():
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()


# The attacks that torchattacks is known to leak through: they reseed, leave gradients, flip modes.
LEAKY = {
    "APGD": lambda m: torchattacks.APGD(m, eps=0.1, steps=3),
    "Square": lambda m: torchattacks.Square(m, eps=0.1, n_queries=5),
    "CW": lambda m: torchattacks.CW(m, steps=3),
    "DeepFool": lambda m: torchattacks.DeepFool(m, steps=3),
    "PGD": lambda m: PGD(m, 0.1, steps=2),
}


@pytest.mark.parametrize("name", LEAKY)
class TestIsolation:
    def test_modes_come_back(self, name, batch):
        network = SmallNetwork().train()
        network.frozen.eval()
        before = [m.training for m in network.modules()]
        craft(LEAKY[name], network, *batch)
        assert [m.training for m in network.modules()] == before

    def test_random_states_come_back(self, name, batch):
        network = SmallNetwork()
        before = states()
        craft(LEAKY[name], network, *batch, seed=5)
        torch_state, numpy_state, python_state = states()
        assert torch.equal(before[0], torch_state)
        assert np.array_equal(before[1], numpy_state)
        assert before[2] == python_state

    def test_gradients_come_back(self, name, batch):
        network = SmallNetwork()
        marker = torch.full_like(network.linear.weight, 3.0)
        network.linear.weight.grad = marker
        craft(LEAKY[name], network, *batch)
        assert network.linear.weight.grad is marker
        assert torch.equal(marker, torch.full_like(marker, 3.0))
        assert network.linear.bias.grad is None

    def test_works_in_inference_mode_and_leaves_the_images(self, name, batch):
        x, y = batch
        network = SmallNetwork()
        with torch.inference_mode():
            inner = x.clone()
            crafted = craft(LEAKY[name], network, inner, y, seed=1)
        assert torch.equal(inner, x)
        assert torch.equal(crafted.x_adv, craft(LEAKY[name], network, x, y, seed=1).x_adv)
        assert not crafted.x_adv.requires_grad

    def test_the_same_seed_gives_the_same_images(self, name, batch):
        network = SmallNetwork()
        first = craft(LEAKY[name], network, *batch, seed=1).x_adv
        torch.rand(3)
        assert torch.equal(first, craft(LEAKY[name], network, *batch, seed=1).x_adv)

    def test_an_empty_batch_stays_empty(self, name, batch):
        x, y = batch
        assert craft(LEAKY[name], SmallNetwork(), x[:0], y[:0]).x_adv.shape == (0, *SHAPE)


def test_seeds_matter_to_a_random_start(batch):
    network = SmallNetwork()
    attack = lambda m: PGD(m, 0.1, alpha=0.01, steps=1)  # noqa: E731
    images = [craft(attack, network, *batch, seed=seed).x_adv for seed in (1, 2)]
    assert not torch.equal(*images)


def test_the_view_is_in_eval_mode_and_sees_full_precision(batch):
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = SmallNetwork()

        def forward(self, x):
            out = self.network(x)
            seen.append((self.training, x.dtype, out.dtype))
            return out

    with torch.autocast("cpu", torch.bfloat16):
        craft(LEAKY["PGD"], Spy().train(), *batch)
    assert set(seen) == {(False, torch.float32, torch.float32)}


def test_modes_and_gradients_come_back_after_an_error(batch):
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(1, 1)

        def forward(self, x):
            raise RuntimeError("failing view")

    view = Failing().train()
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="failing view"):
        craft(LEAKY["PGD"], view, *batch)
    assert view.training
    assert view.linear.training
    assert torch.equal(before, torch.get_rng_state())


def test_forward_passes_are_counted_per_image(batch):
    crafted = craft(lambda m: PGD(m, 0.1, steps=7, early_stop=False), SmallNetwork(), *batch)
    assert crafted.forwards == 7
    assert crafted.seconds > 0


def test_float64_images_stay_float64():
    oracle = LinearOracle().double()
    x, y = oracle.samples(4)
    crafted = craft(lambda m: PGD(m, 0.1, steps=2), oracle, x.double(), y)
    assert crafted.x_adv.dtype == torch.float64


def test_restarts_spare_the_images_that_are_misclassified():
    oracle = LinearOracle()
    x, y = oracle.samples(10)
    eps = 1.1 * oracle.budget("Linf")
    one, many = (
        craft(lambda m, r=r: PGD(m, eps, steps=5, restarts=r, early_stop=False), oracle, x, y)
        for r in (1, 4)
    )
    # The first start succeeds on all, so the others cost only the check after the first.
    assert (one.forwards, many.forwards) == (5, 6)
    assert torch.equal(one.x_adv, many.x_adv)


def test_a_view_names_its_own_objective(batch):
    class Masked(nn.Module):
        """Cross-entropy of its outputs is constant; its objective is not."""

        def __init__(self):
            super().__init__()
            self.network = SmallNetwork()

        def forward(self, x):
            return self.network(x)

        def objective(self, outputs, y):
            return -outputs.sum(dim=1)

    view = Masked().eval()
    x, y = batch
    x_adv = craft(lambda m: PGD(m, 0.1, steps=3, random_start=False), view, x, y).x_adv
    assert (view(x_adv).sum(dim=1) < view(x).sum(dim=1)).all()
    ce = [F.cross_entropy(view(images), y) for images in (x, x_adv)]
    assert ce[0] != ce[1]


def test_an_attack_without_targeted_mode_says_so(batch):
    x, y = batch
    with pytest.raises(ValueError, match="Targeted mode is not supported"):
        craft(LEAKY["APGD"], SmallNetwork(), x, y, target=(y + 1) % 4)


@pytest.mark.parametrize("outside", [-1, 4])
@pytest.mark.parametrize("attack", [PGD, HopSkipJump, torchattacks.PGD])
def test_a_target_that_is_no_class_is_refused(batch, attack, outside):
    x, y = batch
    target = torch.full_like(y, 3)
    target[1] = outside
    with pytest.raises(ValueError, match=f"from 0 to 3, but got {outside}. Choose among"):
        craft(attack, SmallNetwork(), x, y, target=target)


def test_a_difference_of_losses_needs_a_target(batch):
    from robust.attacks import TGSM

    with pytest.raises(ValueError, match="Expected a target class for TGSM"):
        craft(lambda m: TGSM(m, 0.1, equation=3), SmallNetwork(), *batch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": -0.1}, "`eps` to be non-negative"),
        ({"steps": 0}, "`steps` to be at least 1"),
        ({"restarts": 0}, "`restarts` to be at least 1"),
        ({"alpha": -1.0}, "`alpha` to be non-negative"),
        ({"eps": float("nan")}, "`eps` to be non-negative"),
    ],
)
def test_arguments_are_checked_when_the_attack_is_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        PGD(SmallNetwork(), **arguments)


def test_a_zero_gradient_moves_nothing_and_makes_no_nan():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.cat([x.flatten(1)[:, :1] * 0, x.flatten(1)[:, :1] * 0 - 1], dim=1)

    x, y = torch.rand(3, *SHAPE), torch.zeros(3, dtype=torch.int64)
    for norm in ("Linf", "L2"):
        attack = lambda m, norm=norm: PGD(m, 0.1, steps=2, norm=norm, random_start=False)  # noqa: E731
        assert torch.equal(craft(attack, Constant(), x, y).x_adv, x)
