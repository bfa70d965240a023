"""A verdict's tags are its word and the signs that are raised, without figures."""

from dataclasses import replace

from robust.results.evidence.verdict_tags import tags_of, with_verdict
from robust.results.records import Evaluation
from robust.results.verdict import WORDS
from tests.support.factories import evaluation, info

ATTACKS = {"fgsm": info(), "pgd": info("PGD", steps=10), "square": info("Square")}


def of(deployed, adaptive):
    """An evaluation with so many of 200 images misclassified by each attack."""
    names = zip(ATTACKS, deployed, strict=True), zip(ATTACKS, adaptive, strict=True)
    counts = {("deployed", name): k for name, k in names[0]}
    return evaluation(ATTACKS, counts | {("adaptive", name): k for name, k in names[1]})


def test_masked():
    assert tags_of(of((0, 0, 0), (100, 150, 100))) == ["masked", "sign: views differ"]


def test_one_step_and_no_gradient():
    tags = tags_of(of((150, 50, 150), (150, 50, 150)))
    assert tags == ["suspect", "sign: one step beats many", "sign: no gradient beats gradients"]


def test_nothing_to_see():
    assert tags_of(of((30, 100, 50), (30, 100, 50))) == ["no masking seen"]


def test_random_network():
    found = of((30, 100, 50), (30, 100, 50))
    found = Evaluation(replace(found.header, random=True), found.rows)
    assert tags_of(found) == ["unverified", "sign: two calls differ"]


def test_tags_are_short_enough_for_wandb():
    assert all(0 < len(word) <= 64 for word in WORDS)


def test_own_tags_stay():
    earlier = ["mine", "masked", "sign: views differ"]
    assert with_verdict(earlier, ["not robust"]) == ("mine", "not robust")
    assert with_verdict([], ["masked", "masked"]) == ("masked",)
