"""Measurements inside `trainer.test` and as options of `evaluate.py`."""

import re
import shutil

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel
from torch import nn

from robust.attacks import PGD
from robust.commands.evaluate import evaluate
from robust.data import ImageDataModule
from robust.defenses import Standard
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.suite import Suite
from robust.loading.restore import restore
from robust.loading.trained_run import find_checkpoint
from robust.measures.certify import Smoothed, certified_accuracy
from robust.measures.measurements import Certification, RobustnessMetrics
from robust.measures.robustness import measure_robustness
from robust.results.cells import as_text
from robust.results.metrics import Rate
from robust.threat import ThreatModel
from tests.support.factories import EPS, linear


def measured(callback, data, tmp_path, defense=None):
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        inference_mode=False,
        default_root_dir=tmp_path,
    )
    defense = Standard(linear()) if defense is None else defense
    trainer.test(defense, datamodule=data, verbose=False)
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


def test_robustness_is_logged_as_measured(data, tmp_path):
    callback = RobustnessMetrics(limit=20)
    logged = measured(callback, data, tmp_path)
    expected = measure_robustness(Standard(linear()), data, 20)
    assert callback.result == expected
    minimal = expected["adaptive"].minimal
    key = "test/robustness/adaptive"
    assert logged[f"{key}/minimal/accuracy"] == pytest.approx(minimal.accuracy.value)
    assert logged[f"{key}/minimal/flipped_low"] == pytest.approx(minimal.changed.interval[0])
    for name, value in (
        ("linf", minimal.robustness.linf),
        ("l2", minimal.robustness.l2),
        ("linf_flipped", minimal.robustness_changed.linf),
        ("l2_flipped", minimal.robustness_changed.l2),
        ("distance", minimal.distance.l2),
        ("squared_distance", minimal.distance.squared),
    ):
        assert logged[f"{key}/minimal/{name}"] == pytest.approx(value)
    published = expected["adaptive"].published
    assert logged[f"{key}/published/accuracy"] == pytest.approx(published.accuracy.value)
    of_loss, of_prediction, _ = expected["adaptive"].sensitivity
    assert logged[f"{key}/sensitivity"] == pytest.approx(of_loss.value)
    assert logged[f"{key}/sensitivity_high"] == pytest.approx(of_loss.interval[1])
    assert logged[f"{key}/prediction_sensitivity"] == pytest.approx(of_prediction.value)


def test_means_of_no_image_are_not_logged(data, tmp_path):
    flat = linear()
    nn.init.zeros_(flat[1].weight)
    logged = measured(RobustnessMetrics(), data, tmp_path, Standard(flat))
    assert logged["test/robustness/deployed/minimal/flipped"] == 0
    assert "test/robustness/deployed/minimal/distance" not in logged
    assert not any(torch.tensor(list(logged.values())).isnan())


def test_the_table_of_robustness(data):
    result = measure_robustness(Standard(linear()), data, 20)
    grid = RobustnessMetrics.table({"a": result, "b": result})
    assert [row[:3] for row in grid.rows[:4]] == [
        ["a", "deployed", "correct"],
        ["a", "deployed", "released"],
        ["a", "adaptive", "correct"],
        ["a", "adaptive", "released"],
    ]
    assert {len(row) for row in grid.rows} == {len(grid.header)}
    minimal, cells = (
        result["deployed"].minimal,
        dict(zip(grid.header, map(as_text, grid.rows[0]), strict=True)),
    )
    assert cells["accuracy"].startswith(f"{100 * minimal.accuracy.value:.1f}\n")
    both = minimal.robustness.linf, minimal.robustness_changed.linf
    assert cells["rho Linf"] == "\n".join(f"{mean:.4g}" for mean in both)
    assert cells["distance"].startswith(f"{minimal.distance.l2:.4g}\n")
    assert "n = 20" in grid.title


def test_certified_accuracy_is_logged_as_certified(data, tmp_path):
    callback = Certification(0.1, limit=15, n=200, radii=(0.0, 0.1, 5.0), seed=2)
    logged = measured(callback, data, tmp_path)
    x, y, index = data.test_samples(0, 15)
    certificates = Smoothed(Standard(linear()), 0.1, seed=2).certify(x, index, n=200)
    rates = certified_accuracy(certificates, y, (0.0, 0.1, 5.0))
    assert list(callback.result.accuracy.values()) == rates
    assert rates[0].hits > 5
    assert rates[2] == Rate(0, 15)
    assert logged["test/certified/radius_0.1"] == pytest.approx(rates[1].value)
    assert logged["test/certified/radius_0.1_high"] == pytest.approx(rates[1].interval[1])
    abstained = (certificates.prediction < 0).float().mean().item()
    assert logged["test/certified/abstained"] == pytest.approx(abstained)


def test_the_limit_may_exceed_the_test_set(data, tmp_path):
    for limit in (None, 1000):
        callback = Certification(0.1, limit=limit, n=50)
        measured(callback, data, tmp_path)
        assert callback.result.abstained.n == 24


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RobustnessMetrics(limit=0), "`limit` to be at least 1, but got 0"),
        (lambda: RobustnessMetrics(block=0), "`block` to be at least 1, but got 0"),
        (lambda: Certification(0.0), "`sigma` to be positive"),
        (lambda: Certification(0.1, alpha=1.5), "`alpha` in"),
        (lambda: Certification(0.1, n0=0), "`n0` to be at least 1"),
        (lambda: Certification(0.1, n=0), "`n` to be at least 1"),
        (lambda: Certification(0.1, limit=0), "`limit` to be at least 1"),
        (lambda: Certification(0.1, batch=0), "`batch` to be at least 1"),
        (lambda: Certification(0.1, radii=[-0.1]), "`radii` to be non-negative, but got -0.1"),
    ],
)
def test_arguments_are_checked_before_a_training(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_only_defenses_on_image_data_are_measured(data, tmp_path):
    with pytest.raises(ConfigError, match="Expected a Defense"):
        measured(RobustnessMetrics(), BoringDataModule(), tmp_path, BoringModel())


@pytest.mark.parametrize("attacks", [{"pgd": lambda m: PGD(m, EPS, steps=2)}, None])
def test_an_evaluation_measures_robustness_too(data, tmp_path, attacks):
    suite = Suite("t", attacks or {}, ThreatModel("Linf", EPS), limit=20, views=["adaptive"])
    records = str(tmp_path / "records")
    evaluation = AttackEvaluation(suite, records=records, robustness=True)
    logged = measured(evaluation, data, tmp_path)
    alone = RobustnessMetrics(limit=20, views=["adaptive"])
    expected = measured(alone, data, tmp_path)
    assert evaluation.robustness.result == alone.result
    assert expected.items() <= logged.items()
    assert ("test/robust_acc/adaptive/pgd" in logged) == bool(attacks)
    assert AttackEvaluation(suite).robustness is None


@pytest.fixture
def runs(trained, tmp_path):
    copies = {}
    for name, folder in trained.items():
        copies[name] = tmp_path / "runs" / name / "a"
        shutil.copytree(folder, copies[name], ignore=shutil.ignore_patterns("records"))
    return copies


@pytest.mark.usefixtures("quiet")
def test_both_options_need_no_suite(runs, tmp_path, capsys):
    output = tmp_path / "measured.md"
    flags = ["--robustness", "--certify", "0.2", "--limit", "2", "--output", str(output)]
    assert evaluate([*map(str, runs.values()), *flags]) == 0
    text = output.read_text()
    assert text.index("Robustness by minimal perturbations, n = 2") < text.index("sigma 0.2, n")
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    for name, folder in runs.items():
        found = restore(find_checkpoint(folder))
        expected = measure_robustness(found.defense, found.data, 2)
        row = next(line for line in lines if line[:3] == [f"{name}/a", "adaptive", "correct"])
        assert row[3].startswith(f"{100 * expected['adaptive'].minimal.accuracy.value:.1f}<br>")
        x, y, index = found.data.test_samples(0, 2)
        certificates = Smoothed(found.defense, 0.2).certify(x, index)
        (rate,) = certified_accuracy(certificates, y, [0.3])
        row = [line for line in lines if line[0] == f"{name}/a"][-1]
        assert row[4].startswith(f"{100 * rate.value:.1f}<br>")
    assert isinstance(found.data, ImageDataModule)
    assert re.search(r"squeezed/a +deployed +correct", capsys.readouterr().out)


@pytest.mark.usefixtures("quiet")
def test_views_can_be_chosen_and_arguments_are_checked_first(runs, tmp_path, capsys):
    output = tmp_path / "measured.md"
    run = str(runs["standard"])
    flags = ["--robustness", "--view", "deployed", "--limit", "3", "--output", str(output)]
    assert evaluate([run, *flags]) == 0
    assert "adaptive" not in output.read_text()
    capsys.readouterr()
    assert evaluate([run, "--certify", "0"]) == 2
    assert capsys.readouterr().err.count("error: Expected `sigma` to be positive") == 1
