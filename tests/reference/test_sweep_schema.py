"""What is refused in a sweep file, beside what W&B's own schema of it refuses."""

import json
import random
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from robust.sweep.schema import problems_of
from tests.sweep.test_schema import GRID, TOP

jsonschema = pytest.importorskip("jsonschema")

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def schema():
    """W&B's own, as its package `sweeps` has it: ``pip install --no-deps sweeps``."""
    try:
        path = distribution("sweeps").locate_file("sweeps/config/schema.json")
    except PackageNotFoundError:  # our own folder of that name is no package
        pytest.skip("needs W&B's package sweeps")
    checker = jsonschema.FormatChecker(formats=())
    checker.checks("float")(lambda value: isinstance(value, float))
    checker.checks("integer")(lambda value: isinstance(value, int))
    return jsonschema.Draft7Validator(json.loads(Path(path).read_text()), format_checker=checker)


def odd_parameter(numbers):
    """A parameter of keys that perhaps belong together."""
    kinds = [
        {"min": 1, "max": 2.5},
        {"min": 1, "max": 3},
        {"values": [1, None]},
        {"values": [1, 2], "probabilities": [0.25, 0.75]},
        {"value": {"a": 1}},
        {"mu": 0.5, "sigma": 2},
        {"a": 2, "b": 3},
        {"parameters": {"y": {"value": 1}}},
    ]
    names = [
        *("constant", "categorical", "categorical_w_probabilities", "int_uniform", "uniform"),
        *("q_uniform", "log_uniform", "log_uniform_values", "q_log_uniform_values", "normal"),
        *("inv_log_uniform", "inv_log_uniform_values", "q_log_uniform", "log_normal", "q_normal"),
        *("q_log_normal", "beta", "q_beta", "unifrom", 5, None),
    ]
    given = dict(numbers.choice(kinds))
    if numbers.random() < 0.7:
        given["distribution"] = numbers.choice(names)
    if numbers.random() < 0.3:
        given["q"] = numbers.choice([1, 0.5])
    if numbers.random() < 0.2:
        given[numbers.choice([*given, "vlaues"])] = numbers.choice([True, "1", None, [], 2, {}])
    if numbers.random() < 0.2:
        del given[numbers.choice(list(given))]
    return given


def test_parameters_that_it_refuses_are_refused_and_no_more(schema):
    numbers, seen = random.Random(0), {True: 0, False: 0}
    for _ in range(400):
        content = {**GRID, "parameters": {"x": odd_parameter(numbers)}}
        is_right = schema.is_valid(content)
        seen[is_right] += 1
        assert (not list(problems_of(content))) == is_right, content["parameters"]
    assert min(seen.values()) > 50


ACCEPTED = [{"parameters": {5: {"value": 1}}}]
"""What it accepts, since no file in JSON can have it."""


@pytest.mark.parametrize("changed", [changed for changed, _ in TOP], ids=str)
def test_what_it_refuses_beside_the_parameters_is_refused(schema, changed):
    content = {**GRID, **changed}
    assert schema.is_valid(content) == (changed in ACCEPTED)
    assert list(problems_of(content))
