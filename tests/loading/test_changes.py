"""Arguments of a trained defense are changed, also those of the classes that it was given."""

import pytest

from robust.commands.options.evaluate import parse_options
from robust.errors import ConfigError
from robust.loading.changes import changed_model
from robust.loading.trained_run import TrainedRun

NOISY = {"class_path": "robust.transforms.TotalVariation", "init_args": {"seed": 0, "drop": 0.5}}
MODEL = {
    "class_path": "robust.defenses.Squeezed",
    "init_args": {"temperature": 20, "transform": NOISY, "network": {"class_path": "a.B"}},
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, {}),
        ({"temperature": 3, "nothing": 4, "nothing.at": 5}, {"temperature": 3}),
        (
            {"transform.seed": None},
            {"transform": {**NOISY, "init_args": {"seed": None, "drop": 0.5}}},
        ),
        (
            {"transform.seed": None, "transform.drop": 0.2},
            {"transform": {**NOISY, "init_args": {"seed": None, "drop": 0.2}}},
        ),
        ({"transform": None}, {"transform": None}),
        (
            {"transform": "a.C", "transform.seed": 3},
            {"transform": {"class_path": "a.C", "init_args": {"seed": 3}}},
        ),
        ({"network.c": 1}, {"network": {"class_path": "a.B", "init_args": {"c": 1}}}),
        (
            {"network.c": {"class_path": "a.D"}, "network.c.d": 1},
            {
                "network": {
                    "class_path": "a.B",
                    "init_args": {"c": {"class_path": "a.D", "init_args": {"d": 1}}},
                }
            },
        ),
    ],
)
def test_what_changes(changed, expected):
    before = repr(MODEL)
    made = changed_model(MODEL, changed)
    assert made == {**MODEL, "init_args": {**MODEL["init_args"], **expected}}
    assert repr(MODEL) == before


@pytest.mark.parametrize("key", ["temperature.x", "optimizer.lr", "transform.seed.x"])
def test_what_is_no_class_has_no_arguments(key):
    with pytest.raises(ConfigError, match=r"of the run to be a class with `\w+`, but it is "):
        changed_model(MODEL, {key: 1})


@pytest.mark.parametrize("flag", ["--model.transform.seed", "--model.temperature"])
@pytest.mark.parametrize(("text", "value"), [("null", None), ("1/4", 0.25), ("-3", -3)])
def test_a_flag_has_one_word_or_two(flag, text, value):
    key = flag.removeprefix("--model.")
    for words in ([f"{flag}={text}"], [flag, text]):
        options = parse_options(["run", *words, "--limit=3"])
        assert options.model == {key: value}
        assert [str(run) for run in options.runs] == ["run"]


@pytest.mark.parametrize("words", [["--model.transform.seed"], ["--model.transform.seed", "--eps"]])
def test_a_flag_without_a_value(words):
    with pytest.raises(ConfigError, match=r"a value after --model\.transform\.seed, but got none"):
        parse_options(["run", *words])


def test_a_trained_run_with_a_null_below_two_classes(trained):
    changed = {"transform": NOISY["class_path"], "transform.seed": None, "transform.drop": 0.25}
    run = TrainedRun.load(trained["squeezed"], changed)
    assert run.defense.transform.seed is None
    assert run.defense.transform.drop == 0.25
    described = run.described["model"]["init_args"]["transform"]
    assert described["init_args"] == {"seed": None, "drop": 0.25}


def test_an_argument_that_the_class_has_not(trained):
    changed = {"transform": NOISY["class_path"], "transform.sed": 3}
    with pytest.raises(ConfigError, match=r"'sed'.*Did you mean seed\?"):
        TrainedRun.load(trained["squeezed"], changed)
