"""What is searched: every distribution as W&B means it, grids, random runs, and what learns."""

import math

import numpy as np
import pytest
from optuna.trial import TrialState, create_trial
from scipy import stats

from robust.sweep.hyperband import bands, losers
from robust.sweep.search import Objectives, learned_point, random_point
from robust.sweep.space import Space

U = np.array([2.0**-32, 0.1, 0.37, 0.5, 0.9, 1 - 2.0**-32])
"""Shares of a distribution."""
LOG = (math.log(0.01), math.log(10))


def quantized(values, q):
    return np.round(values / q) * q


# The formulas of W&B, by scipy.
PPF = [
    ({"distribution": "normal"}, stats.norm.ppf(U)),
    ({"distribution": "normal", "mu": 2, "sigma": 3}, stats.norm.ppf(U, 2, 3)),
    ({"distribution": "q_normal", "sigma": 9, "q": 0.5}, quantized(stats.norm.ppf(U, 0, 9), 0.5)),
    ({"distribution": "log_normal", "mu": 1}, stats.lognorm.ppf(U, s=1, scale=math.e)),
    ({"distribution": "q_log_normal", "q": 2}, quantized(stats.lognorm.ppf(U, s=1), 2)),
    ({"distribution": "beta", "a": 2, "b": 3}, stats.beta.ppf(U, 2, 3)),
    ({"distribution": "q_beta", "a": 2, "q": 0.1}, quantized(stats.beta.ppf(U, 2, 1), 0.1)),
    ({"distribution": "q_uniform", "min": 1, "max": 9}, quantized(1 + 8 * U, 1.0)),
    ({"distribution": "log_uniform", "min": -2, "max": 3}, np.exp(-2 + 5 * U)),
    ({"distribution": "q_log_uniform", "min": -2, "max": 3}, quantized(np.exp(-2 + 5 * U), 1)),
    (
        {"distribution": "q_log_uniform_values", "min": 0.01, "max": 10, "q": 0.01},
        quantized(np.exp(LOG[0] + U * (LOG[1] - LOG[0])), 0.01),
    ),
    ({"distribution": "inv_log_uniform", "min": 1, "max": 4}, np.exp(-(1 + 3 * (1 - U)))),
]


@pytest.mark.parametrize(("given", "expected"), PPF, ids=[str(given) for given, _ in PPF])
def test_distributions_are_those_of_wandb(given, expected):
    parameter = Space({"x": given}, is_grid=False).parameters["x"]
    assert [parameter.value(unit) for unit in U] == pytest.approx(list(expected), rel=1e-6)
    is_integer = isinstance(given.get("q"), int)
    assert all(type(parameter.value(unit)) is (int if is_integer else float) for unit in U)


@pytest.mark.parametrize("kind", ["log_uniform_values", "inv_log_uniform_values"])
def test_logarithms_between_values(kind):
    space = Space({"x": {"distribution": kind, "min": 0.01, "max": 10}}, is_grid=False)
    logs = [math.log(random_point(space, n, 0)["x"]) for n in range(400)]
    assert stats.kstest(logs, stats.uniform(LOG[0], LOG[1] - LOG[0]).cdf).pvalue > 0.01


def test_probabilities():
    given = {"values": ["a", None, "c"], "probabilities": [0.2, 0.0, 0.8]}
    space = Space({"x": given}, is_grid=False)
    found = [space.values(random_point(space, n, 0))["x"] for n in range(500)]
    assert found.count("a") == pytest.approx(100, abs=30)
    assert found.count(None) == 0
    assert space.parameters["x"].value(1 - 2.0**-32) == "c"


RANGES = {
    "b": {"min": 1, "max": 3},
    "a": {"min": 0.0, "max": 1.0},
    "c": {"values": [None, True, {"d": [-1, "5"]}, -2.5]},
    "nested": {"parameters": {"e": {"value": None}, "f": {"min": 0.5, "max": 1}}},
}


def test_values_are_of_the_range_and_arrive_as_they_are():
    space = Space(RANGES, is_grid=False)
    found = [space.values(random_point(space, n, 0)) for n in range(60)]
    assert {type(v["b"]) for v in found} == {int}
    assert {v["b"] for v in found} == {1, 2, 3}
    assert all(0 <= v["a"] < 1 and 0.5 <= v["nested"]["f"] < 1 for v in found)
    assert all(v["nested"]["e"] is None for v in found)
    texts = {repr(v["c"]) for v in found}
    assert texts == {repr(value) for value in RANGES["c"]["values"]}


def test_random_runs_depend_on_their_number_and_the_seed_alone():
    space = Space(RANGES, is_grid=False)
    runs = [random_point(space, n, 0) for n in range(8)]
    assert [random_point(space, n, 0) for n in reversed(range(8))] == runs[::-1]
    assert len({run["a"] for run in runs}) == 8
    assert random_point(space, 0, 1) != runs[0]
    # As before Optuna: the tables of docs/sweeps.md stay true.
    t = {"t": {"distribution": "log_uniform_values", "min": 1, "max": 100}, "a": {"values": [0, 1]}}
    values = Space(t, is_grid=False).values(random_point(Space(t, is_grid=False), 0, 0))
    assert values == {"a": 1, "t": pytest.approx(32.80264, rel=1e-6)}


def test_a_grid_has_every_point_once_and_in_the_order_of_wandb():
    space = Space(
        {
            "x": {"values": [1, 1.5, 1, True, None, "1"]},
            "i": {"min": 1, "max": 2},
            "q": {"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.5},
            "k": {"value": 7},
        },
        is_grid=True,
    )
    points = [space.values(space.point(n)) for n in range(space.size)]
    assert [p["x"] for p in points[:5]] == [1, 1.5, True, None, "1"]
    assert [(p["i"], p["q"], p["k"]) for p in points[::5]] == [
        (1, 0.0, 7),
        (1, 0.5, 7),
        (2, 0.0, 7),
        (2, 0.5, 7),
    ]
    assert space.size == len({repr(point) for point in points}) == 20


def found_by(sampler, count):
    """The last of ``count`` runs of which a larger ``x`` and the second ``y`` are better."""
    space = Space({"x": {"min": 0.0, "max": 1.0}, "y": {"values": [0, 1]}}, is_grid=False)
    earlier = []
    for _ in range(count):
        point = learned_point(space, earlier, ["maximize"], 0, sampler)
        done = {"params": point, "distributions": space.distributions}
        earlier.append(create_trial(values=[point["x"] + point["y"]], **done))
    again = learned_point(space, earlier[:-1], ["maximize"], 0, sampler)
    assert again == earlier[-1].params
    return space, earlier


def test_parzen_estimators_learn():
    _, earlier = found_by("tpe", 40)
    assert np.mean([trial.values[0] for trial in earlier[20:]]) > 1.5
    assert np.mean([trial.values[0] for trial in earlier[:5]]) < 1.1


def test_a_gaussian_process_learns():
    _, earlier = found_by("gp", 8)
    assert earlier[-1].values[0] > 1.9


def test_what_learns_keeps_away_from_what_runs_and_takes_two_objectives():
    space, earlier = found_by("tpe", 8)
    two = [
        create_trial(
            params=trial.params,
            distributions=space.distributions,
            values=[trial.params["x"], 1 - trial.params["x"]],
        )
        for trial in earlier
    ]
    assert set(learned_point(space, two, ["maximize", "maximize"], 0)) == {"x", "y"}
    running = create_trial(
        state=TrialState.RUNNING, params=earlier[0].params, distributions=space.distributions
    )
    first = learned_point(space, [*earlier, running], ["maximize"], 0)
    assert first == learned_point(space, [*earlier, running], ["maximize"], 0)


def test_values_of_a_run():
    rows = [{"a": 0.2, "b": 0.9}, {"a": 0.5}, {"a": float("nan"), "b": 0.1}, {"a": 0.3}]
    assert Objectives(("a",), ("maximize",)).values(rows) == [0.5]
    assert Objectives(("a",), ("minimize",)).values(rows) == [0.2]
    assert Objectives(("a", "b"), ("maximize", "maximize")).values(rows) == [0.3, 0.1]
    assert Objectives(("c",), ("maximize",)).values(rows) is None
    assert Objectives(("a",), ("minimize",)).values(rows[2:3]) == [math.inf]


# The example in the documentation of W&B's package.
HISTORIES = {"a": [10, 9], "b": [10, 10], "c": [10, 8, 8], "d": [10, 7, 7], "e": [10, 6, 6]}


def test_hyperband_is_that_of_wandb():
    settings = {"type": "hyperband", "max_iter": 5, "eta": 2, "s": 2}
    assert bands(settings) == [1, 2]
    assert losers(settings, HISTORIES, ["b", "c", "d"]) == ["b"]
    assert bands({"min_iter": 3, "eta": 2})[:4] == [3, 6, 12, 24]
    assert bands({"min_iter": 3, "eta": 1.5})[:4] == [3, 4, 6, 10]
    better = {"a": [3.0, 1.0], "b": [0.5, 2.0]}
    assert losers({"min_iter": 2}, better, ["a", "b"]) == ["b"]
    assert losers({"min_iter": 2, "strict": False}, better, ["a", "b"]) == []
    assert losers({"min_iter": 3}, better, ["a", "b"]) == []
