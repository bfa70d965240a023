"""A card shows all settings and arguments, each by its name, and cuts none."""

import pytest

from robust.report.card.rendered import _arguments, _attacks, _settings
from robust.results.cells import as_text

LONG = "a value of many words, " * 12
SETTINGS = {
    "class_path": "robust.defenses.Squeezed",
    "init_args": {
        "network": {"class_path": "robust.networks.MLP", "init_args": {"hidden": [128, 64]}},
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"foreach": None, "lr": 0.1}},
        "transform": None,
        "steps": [{"class_path": "a.B"}, {"class_path": "a.C", "init_args": {"p": True}}],
        "empty": {},
        "note": LONG,
    },
}


def rows(grid):
    return [tuple(map(as_text, row)) for row in grid.rows]


def test_settings_are_a_table_by_the_names_of_their_flags():
    assert rows(_settings(SETTINGS)) == [
        ("model", "robust.defenses.Squeezed"),
        ("model.network", "robust.networks.MLP"),
        ("model.network.hidden", "128, 64"),
        ("model.optimizer", "torch.optim.SGD"),
        ("model.optimizer.foreach", "none"),
        ("model.optimizer.lr", "0.1"),
        ("model.transform", "none"),
        ("model.steps.0", "a.B"),
        ("model.steps.1", "a.C"),
        ("model.steps.1.p", "True"),
        ("model.empty", "empty"),
        ("model.note", LONG),
    ]


def test_what_no_config_says_is_not_recorded():
    assert rows(_settings(None)) == [("model", "not recorded")]


@pytest.mark.parametrize(
    ("value", "name", "shown"),
    [
        (None, "x", "none"),
        (LONG, "x", LONG),
        ([None, 1], "x", "none, 1"),
        ({"a": {"b": None}}, "x.a.b", "none"),
    ],
)
def test_arguments_are_shown_in_full(value, name, shown):
    arguments = {"steps": 10, "x": value}
    attack = {"name": "pgd", "class": "PGD", "norm": "Linf", "eps": None, "arguments": arguments}
    attack |= {"cost": {"forwards_per_image": 3, "seconds_per_image": 0.1}, "code_sha256": ""}
    without = {**attack, "name": "other", "arguments": {}}
    assert rows(_arguments({"attacks": [attack, without]})) == [
        ("pgd", "steps", "10"),
        ("pgd", name, shown),
    ]
    assert rows(_attacks({"attacks": [attack]}))[0][2] == "Linf unbounded"
