"""The verdict on hand-made records: each word, what outranks what, and silence."""

import pytest

from robust.results.records import Evaluation
from robust.results.tables import comparison
from robust.results.verdict import WORDS, notes, verdict, verdicts
from tests.support.factories import evaluation, header, info, row, rows

FGSM, BIM = info(), info("BIM", steps=20)
SQUARE = info("Square", n_queries=100)


def test_without_an_adaptive_view_nothing_is_verified():
    result = verdict(evaluation({"fgsm": FGSM}, {("deployed", "fgsm"): 3}))
    assert result.word == "unverified"


def test_masked_where_the_adaptive_view_succeeds_and_the_deployed_does_not():
    successes = {("deployed", "fgsm"): 3, ("adaptive", "fgsm"): 100}
    successes |= {("deployed", "bim"): 1, ("adaptive", "bim"): 190}
    result = verdict(evaluation({"fgsm": FGSM, "bim": BIM}, successes))
    assert str(result) == "masked: robust accuracy 98.5 % deployed, 5.0 % adaptive"


def test_overstated_where_only_the_papers_attacker_missed_what_the_adaptive_view_finds():
    successes = {("deployed", "fgsm"): 190, ("published", "fgsm"): 4, ("adaptive", "fgsm"): 192}
    result = verdict(evaluation({"fgsm": FGSM}, successes))
    assert str(result) == "overstated: robust accuracy 98.0 % published, 4.0 % adaptive"
    successes["deployed", "fgsm"] = 20
    result = verdict(evaluation({"fgsm": FGSM}, successes))
    assert result.word == "masked"
    assert result.reason == (
        "robust accuracy 90.0 % deployed, 4.0 % adaptive; "
        "robust accuracy 98.0 % published, 4.0 % adaptive"
    )


def test_a_difference_within_the_intervals_is_no_masking():
    successes = {("deployed", "fgsm"): 90, ("adaptive", "fgsm"): 100}
    assert str(verdict(evaluation({"fgsm": FGSM}, successes))) == "no masking seen"


def both_views(attacks, successes):
    doubled = {(view, a): k for a, k in successes.items() for view in ("deployed", "adaptive")}
    return verdict(evaluation(attacks, doubled))


def test_suspect_where_one_step_beats_many():
    result = both_views({"fgsm": FGSM, "bim": BIM}, {"fgsm": 150, "bim": 50})
    assert result.word == "suspect"
    assert "fgsm with one step succeeds more often than bim" in result.reason
    assert (
        both_views({"fgsm": FGSM, "bim": BIM}, {"fgsm": 50, "bim": 150}).word == "no masking seen"
    )


def test_suspect_where_no_gradient_beats_gradients():
    result = both_views({"square": SQUARE, "bim": BIM}, {"square": 150, "bim": 50})
    assert result.word == "suspect"
    assert "square, which sees no gradient" in result.reason


@pytest.mark.parametrize(
    "other",
    [
        info("BIM", steps=20, eps=0.01),
        info("BIM", steps=20, target=1),
        info("BIM", steps=20, target="random"),
    ],
)
def test_attacks_with_other_goals_are_not_compared(other):
    assert (
        both_views({"fgsm": FGSM, "bim": other}, {"fgsm": 150, "bim": 50}).word == "no masking seen"
    )


def test_suspect_where_the_adaptive_view_has_no_gradient():
    flat = [
        r for view in ("deployed", "adaptive") for r in rows(0, 100, view=view, zero_gradient=True)
    ]
    result = verdict(Evaluation(header(fgsm=FGSM), flat))
    assert result.word == "suspect"
    assert "no gradient at 100.0 %" in result.reason


def test_a_view_that_is_weaker_than_another_is_told():
    successes = {("deployed", "fgsm"): 160, ("adaptive", "fgsm"): 100}
    result = verdict(evaluation({"fgsm": FGSM}, successes))
    assert str(result) == (
        "suspect: the adaptive view is the weaker one: robust accuracy 50.0 % adaptive, "
        "20.0 % deployed"
    )


def test_one_attack_that_differs_by_view_is_no_masking_where_another_succeeds():
    successes = {("deployed", "fgsm"): 79, ("adaptive", "fgsm"): 120}
    assert verdict(evaluation({"fgsm": FGSM}, successes)).word == "masked"
    successes |= {("deployed", "bim"): 199, ("adaptive", "bim"): 200}
    result = verdict(evaluation({"fgsm": FGSM, "bim": BIM}, successes))
    assert str(result) == "not robust: robust accuracy 0.0 % over all views"


def test_the_worst_case_is_by_image():
    """Two attacks that succeed on half of the images each leave none."""
    halves = [
        row(i, view=view, attack=attack, adv=int((i < 100) == (attack == "fgsm")))
        for view in ("deployed", "adaptive")
        for attack in ("fgsm", "bim")
        for i in range(200)
    ]
    assert verdict(Evaluation(header(fgsm=FGSM, bim=BIM), halves)).word == "not robust"


def test_the_worst_case_is_over_all_views():
    """Each view finds another half of the images."""
    halves = [
        row(i, view=view, adv=int((i < 100) == (view == "adaptive")))
        for view in ("deployed", "adaptive")
        for i in range(200)
    ]
    result = verdict(Evaluation(header(fgsm=FGSM), halves))
    assert str(result) == "not robust: robust accuracy 0.0 % over all views"


def of_classes(clean, n=200, classes=10, misclassified=0):
    """Return rows of `n` images of all classes, of which the first `clean` are correct."""
    return [
        row(
            i,
            view=view,
            label=i % classes,
            clean=i % classes if i < clean else (i + 1) % classes,
            adv=(i + 1) % classes if i < misclassified or i >= clean else i % classes,
        )
        for view in ("deployed", "adaptive")
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("clean", "word"),
    [(0, "near chance"), (16, "near chance"), (22, "near chance"), (60, "no masking seen")],
)
def test_a_clean_accuracy_that_a_guess_has_too(clean, word):
    result = verdict(Evaluation(header(fgsm=FGSM), of_classes(clean)))
    assert result.word == word
    if clean == 16:
        assert result.reason == "clean accuracy 8.0 %, where the commonest class has 10.0 %"


def test_a_guess_says_the_commonest_class():
    rare = [
        row(i, view=view, label=int(i < 20)) if i >= 20 else row(i, view=view, label=1, clean=0)
        for view in ("deployed", "adaptive")
        for i in range(200)
    ]
    result = verdict(Evaluation(header(fgsm=FGSM), rare))
    assert str(result) == "near chance: clean accuracy 90.0 %, where the commonest class has 90.0 %"


def test_images_of_one_class_do_not_tell_a_guess():
    assert both_views({"fgsm": FGSM}, {"fgsm": 0}).word == "no masking seen"


@pytest.mark.parametrize("view", ["deployed", "adaptive"])
def test_nothing_left_needs_an_upper_end_below_a_tenth(view):
    found = {("deployed", "fgsm"): 180, ("adaptive", "fgsm"): 180, (view, "fgsm"): 190}
    assert verdict(evaluation({"fgsm": FGSM}, found)).word == "not robust"
    found[view, "fgsm"] = 180  # 10.0 %, up to 14.9 %
    assert verdict(evaluation({"fgsm": FGSM}, found)).word == "no masking seen"


def test_a_distance_without_a_bound_is_no_robust_accuracy():
    unbounded = info("DDN", steps=20, eps=float("inf"), minimal=True)
    assert both_views({"ddn": unbounded}, {"ddn": 200}).word == "no masking seen"


@pytest.mark.parametrize(
    ("n", "successes", "word"),
    [
        (49, 5, "too few images"),
        (50, 5, "no masking seen"),
        (50, 10, "too few images"),
        (50, 1, "no masking seen"),
        (80, 40, "too few images"),
        (100, 50, "no masking seen"),
        (20, 20, "too few images"),  # 0 to 16.1 %
        (40, 40, "not robust"),
    ],
)
def test_few_images_tell_little(n, successes, word):
    found = {("deployed", "fgsm"): successes, ("adaptive", "fgsm"): successes}
    assert verdict(evaluation({"fgsm": FGSM}, found, n=n)).word == word


def test_a_difference_beyond_the_intervals_needs_no_more_images():
    found = {("deployed", "fgsm"): 1, ("adaptive", "fgsm"): 19}
    assert verdict(evaluation({"fgsm": FGSM}, found, n=20)).word == "masked"


def test_nothing_attacked_is_nothing_verified():
    assert str(verdict(Evaluation(header(fgsm=FGSM), []))) == "unverified: nothing was attacked"


def test_each_threat_model_has_its_verdict():
    larger = info("BIM", steps=20, eps=0.3)
    successes = {"fgsm": 20, "bim": 20, "far": 199}
    doubled = {(view, a): k for a, k in successes.items() for view in ("deployed", "adaptive")}
    found = evaluation({"fgsm": FGSM, "bim": BIM, "far": larger}, doubled)
    assert {at: each.word for at, each in verdicts(found).items()} == {
        "Linf 0.1": "no masking seen",
        "Linf 0.3": "not robust",
    }
    assert str(verdict(found)) == (
        "not robust: robust accuracy 0.5 % over all views "
        "(not robust at Linf 0.3; no masking seen at Linf 0.1)"
    )


def test_no_gradient_has_to_beat_the_best_attack_with_one():
    """An attack that is weak is told so, and the network is not accused."""
    attacks = {"weak": BIM, "pgd": info("PGD", steps=50), "square": SQUARE}
    found = {"weak": 20, "pgd": 120, "square": 100}
    doubled = {(view, a): k for a, k in found.items() for view in ("deployed", "adaptive")}
    records = evaluation(attacks, doubled)
    assert verdict(records).word == "no masking seen"
    assert notes(records) == [
        "weak is a weak attack here: robust accuracy 90.0 %, under pgd 40.0 %"
    ]
    assert any("weak is a weak attack" in note for note in comparison({"run": records}).notes)


def test_what_outranks_what():
    assert WORDS[:5] == ("near chance", "masked", "overstated", "suspect", "not robust")
    assert WORDS[5:] == ("too few images", "unverified", "no masking seen")
