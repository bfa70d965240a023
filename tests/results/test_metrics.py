"""Metrics against numbers worked out by hand and against scipy."""

import math

import pytest
from scipy.stats import binomtest, norm, sem

from robust.results.cells import as_text
from robust.results.metrics import (
    Mean,
    Rate,
    accuracy_curve,
    clean_accuracy,
    mean_numbers,
    robust_accuracy,
    success_rate,
    summarize,
    ties,
    worst_robust_accuracy,
)
from robust.results.records import Evaluation
from tests.support.factories import evaluation, header, info, row


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 7), (981, 1000), (0, 2000)])
def test_interval_is_wilsons(hits, n):
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    low, high = Rate(hits, n).interval
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)


def test_no_samples_say_nothing():
    assert math.isnan(Rate(0, 0).value)
    assert Rate(0, 0).interval == (0.0, 1.0)
    assert all(map(math.isnan, Mean.from_values([])))
    assert math.isnan(Mean.from_values([3.0]).error)


def test_a_mean_of_one_value_has_no_bounds():
    assert mean_numbers({"of": Mean.from_values([3.0])}) == {"of": 3.0, "of_median": 3.0}
    assert as_text(Mean.from_values([3.0])) == "3"
    assert as_text(Mean.from_values([])) == "none"


def test_the_interval_of_a_mean_is_the_normal_one():
    values = [1.0, 2.0, 6.0, 7.0]
    mean = Mean.from_values(values)
    expected = norm.interval(0.95, loc=4.0, scale=sem(values))
    assert mean.value == 4.0
    assert mean.interval == pytest.approx(expected)


def test_few_samples_may_carry_a_mean():
    mean = Mean.from_values([0.0, 0.0, 0.1, 99.9])
    assert (mean.value, mean.median) == pytest.approx((25.0, 0.05))
    assert as_text(mean) == "25 +-49, median 0.05"


# Six samples: robust, misclassified under the attack, the same outside eps, misclassified already,
# misclassified and "corrected" by the attack, and again misclassified under the attack.
SIX = [
    row(0, adv=0),
    row(1, adv=1),
    row(2, adv=1, linf=0.2),
    row(3, clean=1, adv=1),
    row(4, clean=1, adv=0),
    row(5, adv=2),
]


def test_success_is_counted_on_the_attacked_and_within_eps():
    assert success_rate(SIX, info()) == Rate(2, 4)


def test_accuracies_are_counted_on_all():
    assert clean_accuracy(SIX) == Rate(4, 6)
    assert robust_accuracy(SIX, info()) == Rate(2, 6)


def test_a_targeted_attack_succeeds_on_its_target_alone_but_any_wrong_class_counts():
    targeted = [
        row(0, target=2, adv=2),
        row(1, target=2, adv=1),
        row(2, target=2, adv=0),
        row(3, target=2, label=2, clean=2, adv=2),
    ]
    assert success_rate(targeted, info(target=2)) == Rate(1, 3)
    assert robust_accuracy(targeted, info(target=2)) == Rate(2, 4)


def test_rounding_of_the_distance_is_forgiven():
    assert success_rate([row(0, adv=1, linf=0.1 + 5e-8)], info()) == Rate(1, 1)
    assert success_rate([row(0, adv=1, linf=0.1 + 1e-5)], info()) == Rate(0, 1)


def test_the_distance_is_that_of_the_attacks_norm():
    held = [row(0, adv=1, linf=0.9, l2=0.5, l0=3.0)]
    assert success_rate(held, info(norm="L2", eps=0.5)) == Rate(1, 1)
    assert success_rate(held, info(norm="L0", eps=2.0)) == Rate(0, 1)


def test_the_worst_case_is_per_sample():
    attacks = {"fgsm": info(), "bim": info("BIM")}
    both = [row(i, attack="fgsm", adv=int(i == 0)) for i in range(4)]
    both += [row(i, attack="bim", adv=int(i == 1)) for i in range(4)]
    result = worst_robust_accuracy(Evaluation(header(**attacks), both), "deployed")
    assert result == Rate(2, 4)


def test_curve_of_a_minimal_attack_from_one_crafting():
    minimal = info("CW", norm="L2", minimal=True)
    found = [row(i, adv=1, l2=0.1 * (i + 1)) for i in range(4)] + [row(4, clean=1, adv=1)]
    curve = accuracy_curve(found, minimal, [0.0, 0.15, 0.35, 1.0])
    assert [rate.hits for rate in curve] == [4, 3, 1, 0]
    assert {rate.n for rate in curve} == {5}


def test_a_curve_counts_what_a_table_counts():
    # float32 makes 0.05 of a step of 0.05 on some pixels, and a little more on others.
    minimal = info("MinimalFGSM", eps=0.05, minimal=True)
    found = [row(i, adv=1, linf=distance) for i, distance in enumerate([0.05, 0.0500000119, 0.06])]
    assert accuracy_curve(found, minimal, [0.05]) == [robust_accuracy(found, minimal)]
    assert robust_accuracy(found, minimal) == Rate(1, 3)


def test_ties_are_counted():
    assert ties([row(0, clean_tie=True), row(1)]) == Rate(1, 2)


def test_what_a_run_logs():
    both = evaluation({"fgsm": info()}, {("deployed", "fgsm"): 2, ("adaptive", "fgsm"): 100})
    numbers = summarize(both)
    assert numbers["test/success/deployed/fgsm"] == pytest.approx(0.01)
    assert numbers["test/robust_acc/adaptive/fgsm"] == pytest.approx(0.5)
    assert numbers["test/worst_robust_acc/adaptive"] == pytest.approx(0.5)
    low, high = Rate(100, 200).interval
    assert numbers["test/robust_acc/adaptive/fgsm_low"] == pytest.approx(low)
    assert numbers["test/robust_acc/adaptive/fgsm_high"] == pytest.approx(high)
    assert numbers["test/ties"] == 0
    assert not any(math.isnan(value) for value in numbers.values())
