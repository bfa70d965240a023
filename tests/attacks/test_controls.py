"""Every attack on networks that are hard for attacks: no NaN, no false success, no exception.

The networks are functions of the linear oracle, so that it is known what must happen. The judge,
the network as it is deployed, decides what is a success.
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import pytest
import torch
from torch import nn

from robust.attacks import BPDA, Rescale, craft, sample_seeds
from robust.threat import ThreatModel
from tests.support.cases import crossed
from tests.support.every_attack import EVERY, EXPORTED, NAMES, NAMES_OF_CLASSES
from tests.support.oracles import LinearOracle


class Shaped(nn.Module):
    """A function of the scores."""

    def __init__(self, network, function):
        super().__init__()
        self.network, self.function = network, function

    def forward(self, x):
        return self.function(self.network(x))


class Binarize(nn.Module):
    def forward(self, x):
        return (x > 0.5).to(x.dtype)


def step(scores):
    """Zero or one for each class without a gradient; predictions stay those of the oracle."""
    return (scores == scores.amax(dim=1, keepdim=True)).to(scores.dtype) + 0 * scores


class Control(NamedTuple):
    oracle: Callable[[], LinearOracle] = LinearOracle
    view: Callable[[nn.Module], nn.Module] = lambda network: network
    succeed: str = "all"
    """Which attacks succeed on every image at their radius: ``all``, those that do not
    ``saturate``, those without a ``gradient``, or ``none``."""
    n: int = 4
    dtype: torch.dtype = torch.float32


CONTROLS = {
    "two classes": Control(),
    "three classes": Control(lambda: LinearOracle(3)),
    "three channels": Control(lambda: LinearOracle(3, channels=3)),
    "a batch of one": Control(n=1),
    "float64": Control(dtype=torch.float64),
    "log-softmax, far below zero": Control(
        view=lambda network: Shaped(network, lambda z: z.log_softmax(dim=1) - 100)
    ),
    "x 1000": Control(lambda: LinearOracle(3, 1000.0), succeed="no saturation"),
    "x 1000, rescaled": Control(
        lambda: LinearOracle(3, 1000.0), lambda network: Rescale(network, 1.0)
    ),
    "sigmoid": Control(
        view=lambda network: Shaped(network, lambda z: torch.sigmoid(50 * z)), succeed="no gradient"
    ),
    "zero gradient": Control(view=lambda network: Shaped(network, step), succeed="no gradient"),
}
shorts = pytest.mark.parametrize("name", NAMES)
classes = pytest.mark.parametrize("name", NAMES_OF_CLASSES)


def run(short, view, x, y, *, radius, targeted=False, target=None, judge=None):
    """Return the images and whether the judge misclassifies each; check what always holds."""
    judge = view if judge is None else judge
    target = 1 - y if targeted else target
    seeds = sample_seeds(0, torch.arange(len(x)))
    x_adv = craft(
        lambda m: short.build(m, radius),
        view,
        x,
        y,
        target=target,
        sample_seeds=seeds,
        judge=None if judge is view else judge,
    ).x_adv
    assert x_adv.dtype == x.dtype
    norm = short.norm if short.norm != "L0" else "L2"
    ThreatModel(norm, radius).check(x, x_adv, short.attack.__name__, budget=short.budget)
    predicted = judge(x_adv).argmax(dim=1)
    misclassified = predicted != y if target is None else predicted == target
    unchanged = (x_adv == x).flatten(1).all(dim=1)
    if short.honest:
        assert (misclassified | unchanged).all(), "an image that is still right was changed"
    return x_adv, misclassified


def modes(short):
    """Untargeted and targeted, as far as the attack has them."""
    return (False, True) if short.targeted else (False,)


def must_succeed(short, control, targeted):
    if short.enough is None or control.succeed == "none":
        return False
    if control.succeed == "no gradient":
        # Square needs a margin to lower.
        return not short.gradient and not short.budget
    # The cross-entropy of a target that is far away is as steep as can be.
    return not (control.succeed == "no saturation" and short.saturates and not targeted)


def test_no_attack_is_forgotten():
    assert {short.attack for short in EVERY.values()} == EXPORTED


# Two classes are those of most others, and three are those of three channels.
PLAIN = ("two classes", "three classes")


HARD = [control for control in CONTROLS if control not in PLAIN]


@pytest.mark.parametrize(
    ("name", "control"),
    [
        *crossed(EVERY, HARD, every=8),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in product(EVERY, PLAIN)),
    ],
)
def test_controls(name, control):
    short, control = EVERY[name], CONTROLS[control]
    oracle = control.oracle()
    view = control.view(oracle)
    x, y = oracle.samples(control.n)
    x = x.to(control.dtype)
    assert torch.equal(view(x).argmax(dim=1), y)
    radius = (short.enough or 1.1) * oracle.budget(short.norm if short.budget else "L2")
    for targeted in modes(short):
        _, misclassified = run(short, view, x, y, radius=radius, targeted=targeted)
        if must_succeed(short, control, targeted):
            assert misclassified.all()
        elif control.succeed == "no saturation" and short.saturates:
            # Flat in float32: only a random start moves an image, and not far enough.
            assert not misclassified.any()


@shorts
def test_a_binarized_input_falls_through_its_bpda_view(name):
    short, oracle = EVERY[name], LinearOracle(3)
    judge, view = nn.Sequential(Binarize(), oracle), nn.Sequential(BPDA(Binarize()), oracle)
    x, _ = oracle.samples(6)
    y = judge(x).argmax(dim=1)
    # As far as the farthest weighted pixel is from its threshold, in each of them.
    weighted = oracle.w.view(oracle.shape) != 0
    reach = 1.1 * (x - 0.5)[:, weighted].abs().max().item()
    radius = reach * weighted.sum().item() ** {"Linf": 0, "L1": 1}.get(short.norm, 0.5)
    for targeted in modes(short):
        if targeted:
            y = y.clamp_max(1)
        _, misclassified = run(short, view, x, y, radius=radius, targeted=targeted, judge=judge)
        # JSMA brightens alone, so that it has half of the pixels.
        moves = short.gradient and short.norm != "L0"
        if moves and not short.scores_lead:
            assert misclassified.all()


@classes
def test_a_constant_network_is_never_fooled(name):
    short, oracle = EVERY[name], LinearOracle(3)
    x, _ = oracle.samples(3)
    y = torch.zeros(3, dtype=torch.int64)
    constant = Shaped(oracle, lambda z: 0 * z - 3)
    for targeted in modes(short):
        x_adv, misclassified = run(short, constant, x, y, radius=0.05, targeted=targeted)
        assert not misclassified.any()
        if not short.budget:
            assert torch.equal(x_adv, x)


@classes
def test_a_class_out_of_reach_is_not_reached(name):
    short, oracle = EVERY[name], LinearOracle(3)
    if not short.targeted:
        return
    x, y = oracle.samples(3)
    never = torch.full_like(y, 2)
    assert not run(short, oracle, x, y, radius=0.05, target=never)[1].any()


@classes
def test_what_is_misclassified_already(name):
    short, oracle = EVERY[name], LinearOracle(3)
    x, y = oracle.samples(4)
    radius = (short.enough or 1.1) * oracle.budget(short.norm if short.budget else "L2")
    mixed = torch.where(torch.arange(4) < 2, y, 1 - y)
    for targeted in modes(short):
        x_adv, misclassified = run(short, oracle, x, mixed, radius=radius, targeted=targeted)
        assert misclassified[2:].all()
        if short.looks:
            assert torch.equal(x_adv[2:], x[2:])
        if short.enough:
            assert misclassified.all()
            assert (x_adv[:2] != x[:2]).flatten(1).any(dim=1).all()


@classes
def test_nothing_but_misclassified_images(name):
    short, oracle = EVERY[name], LinearOracle(3)
    x, y = oracle.samples(4)
    for targeted in modes(short):
        target = y if targeted else None
        crafted = craft(lambda m: short.build(m, 0.05), oracle, x, 1 - y, target=target)
        if short.looks:
            assert torch.equal(crafted.x_adv, x)
            assert crafted.forwards <= 2


@classes
def test_images_in_corners_of_the_box(name):
    short, oracle = EVERY[name], LinearOracle(3)
    x = torch.rand(6, *oracle.shape, generator=torch.Generator().manual_seed(0)).round()
    y = oracle(x).argmax(dim=1)
    for targeted in modes(short):
        x_adv, _ = run(short, oracle, x, y, radius=0.1, targeted=targeted)
        if short.gradient and short.budget:
            assert not torch.equal(x_adv, x)


@shorts
def test_an_empty_batch(name):
    oracle = LinearOracle(3)
    x, y = oracle.samples(2)
    # Without `craft`, which would not call it.
    assert EVERY[name].build(oracle, 0.1)(x[:0], y[:0]).shape == (0, *oracle.shape)
