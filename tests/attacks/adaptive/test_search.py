"""A search shows what networks hide, as well as somebody who knows them; see `hiding`."""

from functools import partial

import pytest
import torch

from robust.attacks import AutoAttack, Rescale, Strong, craft, sample_seeds
from robust.attacks.adaptive import surrogate
from robust.attacks.adaptive.levels import levels_of
from robust.attacks.adaptive.search import OWN, Search
from robust.attacks.adaptive.slopes import Recipe
from robust.attacks.adaptive.views import SubstitutedGradient, early_scores
from robust.attacks.views import EOT
from robust.transforms.quantized import Cells
from tests.support import hiding
from tests.support.hiding import BUDGET, CONTROLS, Anonymous, digits, misclassified


def attacked(count):
    *_, x, y = digits()
    return x[:count], y[:count]


def searched(deployed, x, y, random=False):
    return Search(deployed, Rescale(deployed), random, BUDGET).run(x, y)


def compared(control, count):
    """What is misclassified through the own view, that by hand, and what is found."""
    x, y = attacked(count)
    with torch.no_grad():
        right = control.deployed(x).argmax(dim=1) == y
    x, y = x[right], y[right]
    found = searched(control.deployed, x, y, control.random)
    calls = 10 if control.random else 1
    views = (Rescale(control.deployed), control.view, found.views)
    counts = [float(misclassified(v, control.deployed, x, y, calls).sum()) for v in views]
    return *counts, found.notes


@pytest.mark.parametrize("name", ["x 1000", pytest.param("one-hot", marks=pytest.mark.slow)])
def test_a_flat_end_is_cut(name, monkeypatch):
    monkeypatch.setattr(surrogate, "_STEPS", 20)  # of the surrogate, which is not what is found
    own, hand, found, notes = compared(CONTROLS[name](), 30)
    assert own < 5
    assert found >= 0.9 * hand > 20
    assert "early scores 2" in notes[1]


def test_a_step_in_front_is_softened():
    """It was not there in the training, which takes as long as the attacks."""
    network, transform = hiding.plain(), hiding.FourLevels()
    deployed = Anonymous(lambda x: network(transform(x)))
    own, hand, found, notes = compared(hiding.Control(deployed, Rescale(network)), 30)
    assert own < 10
    assert found >= 0.9 * hand > 20
    assert "found round" in notes[0]
    assert "steps" in notes[-1]


@pytest.mark.slow  # the default run cuts a flat end, and has a surrogate for code outside
def test_what_comes_before_numpy_is_seen():
    own, hand, found, notes = compared(hiding.decided_by_numpy(), 30)
    assert own < 5
    assert found >= 0.9 * hand > 20
    assert "attacked through own, early scores" in notes[-1]


def test_code_outside_of_torch_has_a_surrogate():
    own, _, found, notes = compared(hiding.outside(), 30)
    assert own < 5
    assert found > 15
    assert "no gradient at 100% of the images" in notes[0]
    assert "surrogate" in notes[-1]


def test_a_network_that_hides_nothing_keeps_its_view():
    network = hiding.plain()
    x, y = attacked(30)
    found = searched(network, x, y)
    assert list(found.views.views) == [OWN]
    assert found.notes[0] == "auto: found nothing that hides the gradient."


def test_calls_of_a_random_network_are_averaged():
    network = hiding.plain()
    deployed = Anonymous(lambda x: network(x + 0.5 * torch.randn_like(x)))
    x, y = attacked(30)
    search = Search(deployed, Rescale(deployed), True, BUDGET)
    assert "two calls that differ" in search.run(x, y).notes[0]
    assert isinstance(search.views["mean of calls"], EOT)


def test_no_image_that_is_right_is_said():
    network = hiding.plain()
    x, _ = attacked(5)
    wrong = (network(x).argmax(dim=1) + 1) % 10
    assert searched(network, x, wrong).notes == ["auto: no image is classified correctly."]


def test_early_scores_predict_as_the_network_does():
    network = hiding.plain()
    x, _ = attacked(30)
    for deployed, expected in (
        (lambda x: network(x).softmax(dim=1), True),
        (lambda x: torch.cdist(network(x), 50 * torch.eye(10)).neg().exp(), True),
        (lambda x: -network(x), True),
        (lambda x: network(x), False),
        (lambda x: network(x) - network(x.flip(3)), False),
    ):
        cut = early_scores(Anonymous(deployed), x)
        assert (cut is not None) == expected
        view = SubstitutedGradient(Anonymous(deployed), Recipe(), cut)
        assert torch.equal(view(x).argmax(dim=1), deployed(x).argmax(dim=1))


@pytest.mark.slow
def test_controls():
    rows = {name: compared(build(), 100) for name, build in CONTROLS.items()}
    for name, (own, hand, found, notes) in rows.items():
        print(f"{name:14}{own:6.1f}{hand:6.1f}{found:6.1f}   {notes[-1]}")
    reached = [found >= 0.9 * hand for _, hand, found, _ in rows.values()]
    assert sum(reached) >= 9


@pytest.mark.slow
def test_a_robust_network_is_found_no_more_robust_than_by_its_own_view():
    network = hiding.robust_training()
    x, y = attacked(100)
    with torch.no_grad():
        right = network(x).argmax(dim=1) == y
    x, y = x[right], y[right]
    found = searched(network, x, y)
    own, all_views = (
        misclassified(view, network, x, y) for view in (Rescale(network), found.views)
    )
    assert 0 < own.sum() < len(x) - 10
    assert (all_views >= own).all()
    # Of the views that were looked for, no more than the standard evaluation of the network.
    left = {}
    for attack, view in ((Strong, found.views), (AutoAttack, Rescale(network))):
        seeds = sample_seeds(0, torch.arange(len(x)))
        build = partial(attack, eps=BUDGET.eps)
        x_adv = craft(build, view, x, y, sample_seeds=seeds, judge=network).x_adv
        with torch.no_grad():
            left[attack.__name__] = int((network(x_adv).argmax(dim=1) == y).sum())
    print(left)
    assert 10 < left["Strong"] <= left["AutoAttack"]


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (hiding.Binarize(), [1 / 2]),
        (hiding.FourLevels(), [1 / 6, 1 / 2, 5 / 6]),
        (torch.nn.Identity(), None),
    ],
)
def test_levels_are_found(transform, expected):
    network = hiding.plain()
    x, _ = attacked(8)
    found = levels_of(Anonymous(lambda x: network(transform(x))), x)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.level_thresholds == pytest.approx(expected, abs=1e-5)
        near = Cells.of(found, x).nearest(0 * x, x)
        # A little behind the threshold, as a found image is taken there.
        assert torch.equal(transform(near + (x - near).clamp(-1e-5, 1e-5)), transform(x))
