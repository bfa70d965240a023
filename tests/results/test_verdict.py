"""The verdict on hand-made records: each alarm, and silence."""

import pytest

from robust.results.records import Evaluation
from robust.results.verdict import verdict
from tests.support.factories import evaluation, header, info, rows

FGSM, BIM = info(), info("BIM", steps=20)
SQUARE = info("Square", n_queries=100)


def test_without_an_adaptive_view_nothing_is_verified():
    result = verdict(evaluation({"fgsm": FGSM}, {("deployed", "fgsm"): 3}))
    assert result.word == "unverified"


def test_masked_where_the_adaptive_view_succeeds_and_the_deployed_does_not():
    successes = {("deployed", "fgsm"): 3, ("adaptive", "fgsm"): 100}
    successes |= {("deployed", "bim"): 1, ("adaptive", "bim"): 190}
    result = verdict(evaluation({"fgsm": FGSM, "bim": BIM}, successes))
    assert str(result) == "masked: bim succeeds on 0.5 % deployed, 95.0 % adaptive"


def test_overstated_where_only_the_papers_attacker_missed_what_the_adaptive_view_finds():
    successes = {("deployed", "fgsm"): 190, ("published", "fgsm"): 4, ("adaptive", "fgsm"): 192}
    result = verdict(evaluation({"fgsm": FGSM}, successes))
    assert str(result) == "overstated: fgsm succeeds on 2.0 % published, 96.0 % adaptive"
    successes["deployed", "fgsm"] = 20
    result = verdict(evaluation({"fgsm": FGSM}, successes))
    assert result.word == "masked"
    assert result.reason == (
        "fgsm succeeds on 10.0 % deployed, 96.0 % adaptive; "
        "fgsm succeeds on 2.0 % published, 96.0 % adaptive"
    )


def test_a_difference_within_the_intervals_is_no_alarm():
    successes = {("deployed", "fgsm"): 90, ("adaptive", "fgsm"): 100}
    assert str(verdict(evaluation({"fgsm": FGSM}, successes))) == "no alarm"


def both_views(attacks, successes):
    doubled = {(view, a): k for a, k in successes.items() for view in ("deployed", "adaptive")}
    return verdict(evaluation(attacks, doubled))


def test_suspect_where_one_step_beats_many():
    result = both_views({"fgsm": FGSM, "bim": BIM}, {"fgsm": 150, "bim": 50})
    assert result.word == "suspect"
    assert "fgsm with one step succeeds more often than bim" in result.reason
    assert both_views({"fgsm": FGSM, "bim": BIM}, {"fgsm": 50, "bim": 150}).word == "no alarm"


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
    assert both_views({"fgsm": FGSM, "bim": other}, {"fgsm": 150, "bim": 50}).word == "no alarm"


def test_suspect_where_the_adaptive_view_has_no_gradient():
    flat = [
        r for view in ("deployed", "adaptive") for r in rows(0, 100, view=view, zero_gradient=True)
    ]
    result = verdict(Evaluation(header(fgsm=FGSM), flat))
    assert result.word == "suspect"
    assert "no gradient at 100.0 %" in result.reason
