"""A sweep file that W&B's own schema refuses is refused, in a line that names the key."""

import pytest
import yaml

from robust.errors import ConfigError
from robust.sweep.file import SweepFile

GRID = {
    "program": "train.py",
    "method": "random",
    "metric": {"name": "val/clean_acc", "goal": "maximize"},
    "parameters": {"x": {"values": [0.1, 0.3]}},
}


TOP = [
    ({"method": "gird"}, "'gird'"),
    ({"method": None}, "`method` is None"),
    ({"methd": "grid"}, "Did you mean method"),
    ({"run_cap": 0}, "`run_cap` is 0, not an integer above 0"),
    ({"run_cap": True}, "`run_cap` is True"),
    ({"run_cap": 2.5}, "`run_cap`"),
    ({"command": "train.py"}, "`command` is 'train.py', not a list"),
    ({"program": 5}, "`program` is 5"),
    ({"project": []}, "`project`"),
    ({"description": {}}, "`description`"),
    ({"metric": "acc"}, "`metric` is 'acc', not a mapping"),
    ({"metric": {}}, "`metric` has no `name`"),
    ({"metric": {"name": "a", "goal": "max"}}, "`goal` of its `metric` is 'max', not one of"),
    ({"metric": {"name": "a", "gaol": "maximize"}}, "Did you mean goal"),
    ({"metric": {"name": "a", "impute": "later"}}, "`impute` of its `metric`"),
    ({"early_terminate": {"min_iter": 3}}, "no `type`"),
    ({"early_terminate": {"type": "median"}}, "`type` of its `early_terminate` is 'median'"),
    ({"early_terminate": {"type": "hyperband"}}, "neither `min_iter` nor `max_iter`"),
    ({"early_terminate": {"type": "hyperband", "max_iter": 9}}, "`max_iter`, but no `s`"),
    ({"early_terminate": {"type": "hyperband", "min_iter": 0}}, "`min_iter`"),
    ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, "`eta`"),
    ({"early_terminate": {"type": "hyperband", "min_iter": 1, "strict": 1}}, "`strict`"),
    ({"early_terminate": {"type": "hyperband", "min_iter": 1, "etta": 3}}, "mean eta"),
    ({"early_terminate": []}, "`early_terminate` is \\[\\]"),
    ({"parameters": {"5x": {"value": 1}}}, "a parameter '5x'"),
    ({"parameters": {5: {"value": 1}}}, "a parameter 5"),
    ({"controller": {"type": "mine"}}, "`controller`"),
    ({"kind": "job"}, "`kind`"),
]
"""What W&B's schema refuses beside the parameters, and what is told."""


@pytest.mark.parametrize(("changed", "message"), TOP)
def test_keys_beside_the_parameters(changed, message, tmp_path):
    content = {**GRID, **changed}
    refused(tmp_path, content, message)


# Of these the schema sees no fault, but W&B's search does, or Optuna has no such thing.
OURS = [
    ({"early_terminate": {"type": "hyperband", "max_iter": 2, "s": 1, "eta": 3}}, "first epoch"),
    ({"metric": {"name": "a", "impute": "best"}}, "`impute` of its `metric` is 'best'"),
    ({"method": "custom"}, "'custom', not one of grid, random, bayes"),
    ({"scheduler": {"engine": "optuna"}}, "a key 'scheduler'"),
    ({"parameters": {"x": {"min": 2, "max": 1}}}, "x has a `min` of 2, not less than its `max`"),
    ({"parameters": {"x": {"min": 1.0, "max": 1.0}}}, "not less"),
    ({"parameters": {"x": {"min": 0.0, "max": float("inf")}}}, "not a finite number"),
    ({"parameters": {"x": {"min": float("nan"), "max": 1.0}}}, "not a finite number"),
    ({"parameters": {"x": {"min": -1.7e308, "max": 1.7e308}}}, "which is not finite"),
    ({"parameters": {"x": {"min": 0, "max": 10**400}}}, "not an integer of at most 2\\^53"),
    (
        {"parameters": {"x": {"distribution": "log_uniform_values", "min": -1, "max": 1}}},
        "no logarithm",
    ),
    ({"parameters": {"x": {"distribution": "log_uniform", "min": 1, "max": 999}}}, "not finite"),
    ({"parameters": {"x": {"distribution": "normal", "sigma": 0}}}, "`sigma`"),
    ({"parameters": {"x": {"distribution": "beta", "a": 0}}}, "`a`"),
    ({"parameters": {"x": {"values": [1, 2], "probabilities": [0.5]}}}, "1 `probabilities`"),
    ({"parameters": {"x": {"values": [1, 2], "probabilities": [0.5, 0.4]}}}, "sum is 0.9"),
    ({"parameters": {"a": {"parameters": {"b": {"min": 2, "max": 1}}}}}, "parameter a.b has"),
    ({"method": "grid", "parameters": {"x": {"min": 0.0, "max": 1.0}}}, "a grid can search"),
    (
        {"method": "grid", "parameters": {"x": {"values": [1, 2], "probabilities": [0.5, 0.5]}}},
        "a grid can search",
    ),
]


@pytest.mark.parametrize(("changed", "message"), OURS)
def test_what_cannot_be_searched(changed, message, tmp_path):
    refused(tmp_path, {**GRID, **changed}, message)


def refused(tmp_path, content, message):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=message) as error:
        SweepFile.read(tmp_path / "s.yaml")
    text = str(error.value).replace(str(tmp_path), "")
    assert text.startswith("Expected ")
    assert "s.yaml" in text
    assert "\n" not in text
    assert len(text) <= 300
