"""WNLL's adaptive view tries the exact gradient on what the mean of three left."""

from functools import partial

import pytest

from robust.attacks import PGD, craft
from tests.defenses.wnll.test_defense import images, wnll


@pytest.mark.parametrize("queries", ["single", "batch"])
def test_the_exact_gradient_finds_images_that_the_mean_does_not(queries):
    model, x = wnll(queries=queries), images(100)
    y = model(x).argmax(dim=1)

    def found(view):
        pgd = partial(PGD, eps=0.05, steps=3, random_start=False)
        return model(craft(pgd, view, x, y, judge=model).x_adv).argmax(dim=1) != y

    mean, exact = (found(view) for view in model.adaptive_view().each())
    assert (exact & ~mean).sum() > 2
    if queries == "single":
        assert (found(model.adaptive_view()) == (mean | exact)).all()
    assert found(model.adaptive_view()).sum() > mean.sum()


@pytest.mark.parametrize("adaptive", ["implicit", "linear"])
def test_a_single_view_stays_alone(adaptive):
    model = wnll(adaptive=adaptive)
    assert model.adaptive_view().adaptive == adaptive
