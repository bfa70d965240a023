"""What makes attacks of a suite one family: nothing differs but eps."""

import math

import pytest

from robust.figures.accuracy_curves import plot_accuracy_curves
from robust.figures.adversarials import members
from robust.results.curves import accuracy_curves, families
from robust.results.metrics import Rate
from robust.results.records import AttackInfo
from tests.support.factories import evaluation, info
from tests.support.papers import SUITES
from tests.support.suites import suite_of


def numbered(stem, *numbers):
    return {stem: [f"{stem}_{number}" for number in numbers]}


TENTHS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1")
FAMILIES = {
    "saito2018_table3": {
        **numbered("mim", 0.01, 0.05, 0.1, 0.2),
        **numbered("bim", 0.01, 0.05, 0.1, 0.2),
        **numbered("fgsm", 0.01, 0.05, 0.1, 0.2),
        **numbered("madry", 0.02, 0.04, 0.08, 0.1),
    },
    "saito2018_table5": {
        **numbered("mim", 0.1, 0.2, 0.3, 0.4),
        **numbered("bim", 0.1, 0.2, 0.3, 0.4),
        **numbered("fgsm", 0.1, 0.2, 0.3, 0.4),
        **numbered("madry", 0.04, 0.06, 0.08, 0.1),
    },
    "wang2018": {
        **numbered("fgsm", 0.02, 0.04, 0.06, 0.08, 0.1),
        **numbered("ifgsm", 0.02, 0.04, 0.06, 0.08, 0.1),
        **numbered("ifgsm_projected", 0.02, 0.04, 0.06, 0.08, 0.1),
    },
    "wang2018_small": numbered("ifgsm", 0.0025, 0.005, 0.01),
    "zantedeschi2017_adaptive": {**numbered("fgsm", 0.1, 0.3), **numbered("pgd", 0.1, 0.3)},
    "zantedeschi2017_cifar10": numbered("fgsm", 0.01, 0.02, 0.05, 0.1, 0.2, 0.3),
    "zantedeschi2017_cifar10_adaptive": {"pgd_8_255": ["pgd_8_255", "pgd_0.1"]},
    "zantedeschi2017_figure4": {
        **numbered("fgsm", "0.01", "0.05", *TENTHS),
        **numbered("random_fgsm", "0.05", *TENTHS),
    },
    "zantedeschi2017_figure5": {
        **numbered("fgsm", 0.01, 0.02, 0.05, 0.1, 0.2, 0.3),
        **numbered("random_fgsm", 0.05, 0.1, 0.2, 0.3),
    },
    "zantedeschi2017_whitebox": numbered("fgsm", "0.01", "0.05", *TENTHS),
}
"""Of each suite those with more than one attack; all other attacks stand alone."""


@pytest.mark.parametrize("path", SUITES.values(), ids=SUITES)
def test_families_of_every_suite(path):
    infos = suite_of(path).infos
    found = families(infos)
    assert sorted(name for names in found.values() for name in names) == sorted(infos)
    several = {label: names for label, names in found.items() if len(names) > 1}
    assert several == FAMILIES.get(path.stem, {})


def test_every_listed_suite_is_one():
    assert set(FAMILIES) <= set(SUITES)


def attack(eps, **arguments):
    return AttackInfo("PGD", {"eps": eps, **arguments}, "Linf", eps, None, False)


VALUES = [
    [0.507, 0.487, 0.441],
    (0.5,),
    {"lr": [1, {"b": None}], 3: "three"},
    [[1, 2], [3]],
    None,
    math.nan,
    math.inf,
    {1, 2},
    True,
    10**400,
    "text",
    [],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_arguments_of_any_type_are_compared(value):
    other = "another"
    attacks = {
        "a_0.1": attack(0.1, given=value),
        "b_0.1": attack(0.1, given=other),
        "a_0.2": attack(0.2, given=value),
        "b_0.2": attack(0.2, given=other),
    }
    assert families(attacks) == {"a": ["a_0.1", "a_0.2"], "b": ["b_0.1", "b_0.2"]}


@pytest.mark.parametrize(
    ("one", "other"), [(None, 0), (True, "True"), ([1], 1), ([[1], 2], [1, [2]]), ([], {})]
)
def test_other_values_are_another_family(one, other):
    attacks = {"a_1": attack(0.1, given=one), "a_2": attack(0.2, given=other)}
    assert all(len(names) == 1 for names in families(attacks).values())


def test_a_list_that_became_a_tuple_is_the_same_argument():
    attacks = {"a_1": attack(0.1, given=[1, 2]), "a_2": attack(0.2, given=(1.0, 2))}
    assert list(families(attacks)) == ["a"]


def test_names_do_not_make_a_family():
    attacks = {"pgd_0.1": attack(0.1, steps=5), "pgd_0.2": attack(0.2, steps=6)}
    assert families(attacks) == {name: [name] for name in attacks}
    assert families({"weak": attack(0.1), "strong": attack(0.2)}) == {"weak": ["weak", "strong"]}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ({0.1: 0.01, 0.2: 0.02, 0.3: 0.03}, [3]),
        ({0.1: 0.06, 0.2: 0.06, 0.3: 0.06}, [3]),
        ({0.1: 0.05, 0.2: 0.15, 0.3: 0.25}, [3]),
        ({0.1: 0.01, 0.2: 0.02, 0.3: 0.3, 0.4: 0.4}, [2, 2]),
        ({0.1: 0.01, 0.2: 0.05, 0.3: 0.04}, [1, 1, 1]),
        ({0.0: 0.0, 0.1: 0.0}, [2]),
        ({0.1: None, 0.2: None}, [2]),
        ({0.1: "abc", 0.2: 0.1}, [1, 1]),
    ],
    ids=[
        "one share of eps",
        "one step",
        "what a start leaves",
        "two shares",
        "no rule",
        "zero",
        "none",
        "text",
    ],
)
def test_a_step_is_one_number_or_one_share_of_eps(steps, expected):
    attacks = {f"pgd_{eps}": attack(eps, alpha=alpha) for eps, alpha in steps.items()}
    assert sorted(map(len, families(attacks).values()), reverse=True) == expected


def test_of_two_equal_attacks_the_lowest_accuracy_counts():
    attacks = {"a": attack(0.1), "b": attack(0.1), "c": attack(0.2)}
    counts = {("deployed", "a"): 1, ("deployed", "b"): 5, ("deployed", "c"): 6}
    (panel,) = accuracy_curves({"run": evaluation(attacks, counts, n=10)})
    assert panel.curves[0].rates == [Rate(10, 10), Rate(5, 10), Rate(4, 10)]


def test_free_and_projected_steps_are_two_curves(tmp_path):
    suite = suite_of(SUITES["wang2018"])
    counts = {("deployed", name): 1 for name in suite.infos}
    given = {"run": evaluation(suite.infos, counts, n=10)}
    assert [panel.family for panel in accuracy_curves(given)][1:3] == ["ifgsm", "ifgsm_projected"]
    assert plot_accuracy_curves(given, tmp_path / "curves.png").is_file()


def test_a_grid_finds_attacks_whose_arguments_are_lists():
    suite = suite_of(SUITES["wang2018_released"])
    assert members(suite, "fgsm_0.02") == ["fgsm_0.02"]
    attacks = {"a_1": info(eps=0.1), "a_2": info(eps=0.2)}
    attacks["a_1"].arguments["mean"] = attacks["a_2"].arguments["mean"] = [0.5]
    assert families(attacks) == {"a": ["a_1", "a_2"]}
