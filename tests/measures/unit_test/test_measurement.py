"""The attack unit test at the end of a test of Lightning's: what it logs, and its table."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from robust.attacks import FGSM, PGD
from robust.defenses import Standard
from robust.errors import ConfigError
from robust.evaluation.suite import Suite
from robust.measures.unit_test.attacked import Scores, Tried, unit_test
from robust.measures.unit_test.measurement import AttackUnitTest, UnitTest
from robust.results.cells import as_text
from robust.results.metrics import Rate
from robust.threat import OpenThreatModel, ThreatModel
from tests.support.factories import EPS, linear

SUITE = Suite(
    "two",
    {"pgd": lambda m: PGD(m, EPS, steps=5), "fgsm": lambda m: FGSM(m, EPS)},
    ThreatModel("Linf", EPS),
    views=["adaptive", "deployed"],
)


def measured(callback, data, tmp_path, network=None):
    """Return what a test logs."""
    torch.manual_seed(0)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    defense = Standard(linear() if network is None else network)
    trainer.test(defense, datamodule=data, verbose=False)
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


def test_it_logs_every_score_with_its_interval(data, tmp_path):
    callback = AttackUnitTest(SUITE, limit=6, points=30)
    logged = measured(callback, data, tmp_path)
    x = data.test_samples(0, 6).x
    attacks = {name: Tried(SUITE.builders[name], SUITE.threat_model) for name in SUITE.attacks}
    expected = unit_test(Standard(linear()), x, attacks, SUITE.views, points=30)
    assert callback.result == UnitTest("two", 6, expected)
    (scores,) = expected.values()
    assert set(scores.found) == {"adaptive", "deployed"}
    for view, found in scores.found.items():
        for name, rate in found.items():
            assert rate.n
            assert logged[f"test/unit_test/{view}/{name}"] == pytest.approx(rate.value)
            low = logged[f"test/unit_test/{view}/{name}_low"]
            assert low == pytest.approx(rate.interval[0])
    random = logged[f"test/unit_test/random/Linf_{EPS}"]
    assert random == pytest.approx(scores.random.value)


def test_it_is_within_the_eps_of_the_data_set(data, tmp_path):
    open_model = OpenThreatModel("Linf", 0.3, eps_on={"Linf": {data.name: 0.125}})
    callback = AttackUnitTest(Suite("o", {"fgsm": FGSM}, open_model), limit=2, points=5)
    measured(callback, data, tmp_path)
    assert list(callback.result.scores) == ["Linf 0.125"]


def test_what_has_no_last_layer_says_why_and_logs_nothing(data, tmp_path):
    c, h, _ = data.shape
    network = nn.Sequential(nn.Conv2d(c, data.num_classes, h), nn.Flatten())
    callback = AttackUnitTest(SUITE, limit=2, points=5)
    assert not any("unit_test" in key for key in measured(callback, data, tmp_path, network))
    assert callback.result.scores == {}
    assert "has none. It is not measured." in callback.result.reason
    (row,) = AttackUnitTest.table({"run": callback.result}).rows
    assert row == ["run", "", "", "", "", "not measured", ""]


def test_a_named_layer_need_not_be_linear(data, tmp_path):
    c, h, _ = data.shape
    network = nn.Sequential(nn.Conv2d(c, data.num_classes, h), nn.Flatten())
    callback = AttackUnitTest(SUITE, limit=6, points=30, features="0")
    measured(callback, data, tmp_path, network)
    (scores,) = callback.result.scores.values()
    assert scores.found["adaptive"]["pgd"] == Rate(scores.separated.hits - scores.random.hits, 6)


@pytest.mark.parametrize(
    ("features", "message"),
    [("hed", "of Sequential for the features, but got 'hed'. Did you mean head?"), ("", "got ''")],
)
def test_a_layer_that_is_not_there(data, tmp_path, features, message):
    network = nn.Sequential()
    network.add_module("flat", nn.Flatten())
    network.add_module("head", nn.Linear(data.shape[0] * data.shape[1] ** 2, data.num_classes))
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        measured(AttackUnitTest(SUITE, 2, 5, features), data, tmp_path, network)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"limit": 0}, "`limit` to be at least 1"), ({"points": 1}, "`points` to be at least 2")],
)
def test_arguments_are_checked_first(arguments, message):
    with pytest.raises(ConfigError, match=message):
        AttackUnitTest(SUITE, **arguments)


def scores(found, separated=64, random=4):
    return Scores({"adaptive": found}, Rate(random, separated), Rate(separated, 64))


def test_the_table_has_a_line_for_each_attack_and_view():
    found = {"pgd": Rate(59, 60), "fgsm": Rate(30, 60)}
    grid = AttackUnitTest.table({"run": UnitTest("two", 64, {"Linf 0.2": scores(found)})})
    assert [[as_text(cell) for cell in row] for row in grid.rows] == [
        ["run", "adaptive", "pgd", "Linf 0.2", "60", "98.3\n91.1-99.7", "6.2\n2.5-15.0"],
        ["run", "adaptive", "fgsm", "Linf 0.2", "60", "50.0\n37.7-62.3", "6.2\n2.5-15.0"],
    ]
    assert not any(note.startswith("run:") for note in grid.notes)


@pytest.mark.parametrize(
    ("result", "note"),
    [
        (scores({"pgd": Rate(40, 60), "fgsm": Rate(9, 60)}), "no attack at Linf 0.2 through the "),
        (scores({"pgd": Rate(60, 60)}, separated=61), "of 64 images 3 are left out at Linf 0.2"),
    ],
)
def test_a_note_says_what_is_wrong(result, note):
    grid = AttackUnitTest.table({"run": UnitTest("two", 64, {"Linf 0.2": result})})
    assert note in " ".join(text for text in grid.notes if text.startswith("run:"))
