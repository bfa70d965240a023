"""An evaluation attacks all, then prints, then plots: nothing later costs what is before."""

import argparse
import errno
import re
import shutil
from dataclasses import replace

import matplotlib.figure
import numpy as np
import pytest
import torch

import robust.commands.evaluate
import robust.commands.evidence.gate
import robust.commands.suite_figures
import robust.evaluation.blocks
from robust.attacks import craft
from robust.commands.evaluate import evaluate
from robust.commands.evaluate_attacks import Attacks
from robust.commands.train import train
from robust.data import ImageDataModule
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.io.notes import Figures, Steps, note, reason
from robust.loading.trained_run import TrainedRun
from robust.measures.measurements import Certification, RobustnessMetrics
from robust.results.cells import Grid
from robust.tracking import Processes
from tests.conftest import write_npz
from tests.support.tiny import arguments

pytestmark = pytest.mark.usefixtures("quiet", "blank_figures")


@pytest.fixture
def runs(trained, tmp_path):
    """Copies of the trained runs without records, to write into."""
    return {
        name: str(
            shutil.copytree(
                folder, tmp_path / "runs" / name / "a", ignore=shutil.ignore_patterns("records")
            )
        )
        for name, folder in trained.items()
    }


@pytest.fixture
def changed(monkeypatch):
    """Have a run be found with something changed: give its name and what changes it."""
    of = TrainedRun.load
    changes = {}

    def found(path, *args):
        trained_run = of(path, *args)
        return changes.get(trained_run.name, lambda same: same)(trained_run)

    monkeypatch.setattr(TrainedRun, "load", staticmethod(found))
    return changes


def predicting(label):
    """A change: all images are of one class."""

    def change(trained_run):
        with torch.no_grad():
            for layer in trained_run.defense.network.layers[1:]:
                layer.weight.zero_()
                layer.bias.zero_()
                layer.bias[label] = 1.0
        return trained_run

    return change


def diverged(trained_run):
    """A change: weights that are NaN."""
    with torch.no_grad():
        for weight in trained_run.defense.parameters():
            weight.fill_(float("nan"))
    return trained_run


EPS_SUITE = """
suite: eps
threat_model: {norm: Linf, eps: 0.3}
threat_models: {pgd_0.1: {norm: Linf, eps: 0.1}}
attacks:
  pgd_0.1: {class_path: robust.attacks.PGD, init_args: {eps: 0.1, steps: 2}}
  pgd_0.3: {class_path: robust.attacks.PGD, init_args: {eps: 0.3, steps: 2}}
limit: 8
block: 8
"""


@pytest.fixture
def eps_suite(tmp_path):
    path = tmp_path / "eps.yaml"
    path.write_text(EPS_SUITE)
    return str(path)


def notes(err):
    """The notes on standard error, which are short lines."""
    found = [line for line in err.splitlines() if line.startswith("note: ")]
    assert all(len(line) <= 300 for line in found)
    return found


ALL_FIGURES = ["--figures", "--grid", "pgd", "--lipschitz", "--draw", "features", "progress"]


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("label", [0, 3])
def test_a_network_that_predicts_one_class(runs, eps_suite, changed, label, capsys, tmp_path):
    changed["standard/a"] = predicting(label)
    output = tmp_path / "table.md"
    command = [runs["standard"], "--suite", eps_suite, "--figures", "--grid", "pgd"]
    assert evaluate([*command, "--output", str(output)]) == 0
    printed = capsys.readouterr()
    assert "Attack success in %, suite eps" in printed.out
    assert "standard/a" in output.read_text()
    assert "error:" not in printed.err
    left_out = [line.split(" is left out: ")[0] for line in notes(printed.err)]
    figures = ["loss_surfaces", "scores"] if label == 0 else []
    assert left_out == [f"note: Figure {figure} of standard/a" for figure in figures]


def test_a_grid_of_runs_without_an_image_in_common(runs, eps_suite, changed, capsys):
    changed["standard/a"], changed["squeezed/a"] = predicting(3), predicting(4)
    assert evaluate([*runs.values(), "--suite", eps_suite, "--grid", "pgd"]) == 0
    printed = capsys.readouterr()
    assert "Attack success in %, suite eps" in printed.out
    (left_out,) = notes(printed.err)
    assert left_out.startswith("note: Figure pgd of squeezed/a is left out: Expected an image that")


ERRORS = [
    RuntimeError("first line\nsecond line"),
    ValueError("x" * 5000),
    MemoryError(),
    OSError(errno.ENOSPC, "No space left on device", "some/file.png"),
    ConfigError("Expected a figure."),
    ZeroDivisionError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_note_is_one_line_for_any_error(error, capsys):
    figures = Figures()
    with figures.step("Figure a"):
        raise error
    (found,) = notes(capsys.readouterr().err)
    assert found.startswith("note: Figure a is left out: ")
    assert figures.failed == {"Figure a": error}


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ERRORS[0], id="defect", marks=pytest.mark.slow),
        pytest.param(ERRORS[3], id="full disk"),
    ],
)
def test_no_figure_costs_a_table(runs, eps_suite, error, monkeypatch, capsys, tmp_path):
    def failing(*args, **kwargs):
        raise error

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", failing)
    output = tmp_path / "table.md"
    command = [*runs.values(), "--suite", eps_suite, *ALL_FIGURES, "--output", str(output)]
    assert evaluate(command) == 0
    printed = capsys.readouterr()
    assert "Attack success in %, suite eps" in printed.out
    assert "Operator norms of the layers" in output.read_text()
    assert "Figure: " not in printed.out
    found = notes(printed.err)
    for figure in ("loss_surfaces of squeezed/a", "accuracy of standard/a", "accuracy_compared"):
        assert any(line.startswith(f"note: Figure {figure}") for line in found)
    for figure in ("pgd of", "operator_norms of", "features of", "progress of"):
        assert any(line.startswith(f"note: Figure {figure}") for line in found)
    assert len(found) == 2 * 3 + 2 + (2 + 1) + 2


def test_figures_alone_that_cannot_be_made_are_an_error(runs, monkeypatch, capsys):
    def failing(*args, **kwargs):
        raise ConfigError("No ink is left.")

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", failing)
    assert evaluate([runs["standard"], "--draw", "progress"]) == 2
    printed = capsys.readouterr().err
    assert notes(printed) == ["note: Figure progress of standard/a is left out: No ink is left."]
    assert printed.endswith("error: No ink is left.\n")


def test_the_stages_follow_each_other(runs, eps_suite, monkeypatch, tmp_path):
    order = []

    def crafted(*args, **kwargs):
        order.append("attack")
        return craft(*args, **kwargs)

    def told(name, function):
        return lambda *args, **kwargs: order.append(name) or function(*args, **kwargs)

    monkeypatch.setattr(robust.evaluation.blocks, "craft", crafted)
    monkeypatch.setattr(RobustnessMetrics, "measure", told("attack", RobustnessMetrics.measure))
    monkeypatch.setattr(
        robust.commands.evaluate, "norms_of", told("attack", robust.commands.evaluate.norms_of)
    )
    monkeypatch.setattr(Grid, "print", told("print", Grid.print))
    monkeypatch.setattr(
        robust.commands.evidence.gate.files, "write_output", told("write", lambda *args: None)
    )
    savefig = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", told("draw", savefig))
    flags = ["--robustness", "--limit=4", *ALL_FIGURES, "--output", str(tmp_path / "t.md")]
    assert evaluate([*runs.values(), "--suite", eps_suite, *flags]) == 0
    stages = [stage for i, stage in enumerate(order) if stage not in order[i - 1 : i]]
    assert stages == ["attack", "print", "write", "draw"]
    assert order.count("print") == 3


def test_a_run_that_fails_costs_no_other(runs, eps_suite, changed, capsys, tmp_path):
    changed["squeezed/a"] = diverged
    output = tmp_path / "table.md"
    command = [*runs.values(), "--suite", eps_suite, "--figures", "--output", str(output)]
    assert list(runs) == ["squeezed", "standard"]
    assert evaluate(command) == 2
    printed = capsys.readouterr()
    assert "| standard/a |" in output.read_text()
    assert "squeezed/a" not in output.read_text()
    assert "Figure: " in printed.out
    (error,) = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: squeezed/a failed, so that the tables lack it: Expected ")
    assert len(list((tmp_path / "runs/standard/a/records").glob("*.csv"))) == 1


def test_all_runs_that_fail_are_the_error_of_the_first(runs, eps_suite, changed, capsys):
    changed["squeezed/a"] = changed["standard/a"] = diverged
    assert evaluate([*runs.values(), "--suite", eps_suite]) == 2
    printed = capsys.readouterr()
    assert "Attack success" not in printed.out
    assert notes(printed.err)[0].startswith("note: standard/a failed, too: Expected ")
    (error,) = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: Expected ")


def test_a_defect_keeps_its_traceback_after_the_tables(runs, eps_suite, monkeypatch, capsys):
    attacked = AttackEvaluation.on_test_epoch_end

    def failing(self, trainer, defense):
        attacked(self, trainer, defense)
        if type(defense).__name__ == "Squeezed":
            raise ZeroDivisionError("a defect")

    monkeypatch.setattr(AttackEvaluation, "on_test_epoch_end", failing)
    with pytest.raises(ZeroDivisionError, match="a defect") as raised:
        evaluate([*runs.values(), "--suite", eps_suite])
    assert raised.value.__notes__ == ["squeezed/a failed, so that the tables lack it."]
    assert "Attack success in %, suite eps" in capsys.readouterr().out


def test_one_of_several_processes_does_not_go_on_alone(trained):
    trained_runs = {"second": TrainedRun.load(trained["standard"])}
    steps = Steps()
    with steps.step("first"):
        raise ValueError("failed")
    for processes, expected in ((Processes(2, 1), {}), (Processes(1, 1), {"second": 1})):
        attacks = Attacks(argparse.Namespace(processes=processes), steps)
        assert attacks.each(trained_runs, lambda trained_run: 1) == expected


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("measurement", [RobustnessMetrics, Certification])
def test_a_measurement_that_fails_costs_no_other(runs, eps_suite, measurement, monkeypatch, capsys):
    def failing(self, defense, data):
        raise ConfigError("Expected to measure.")

    monkeypatch.setattr(measurement, "measure", failing)
    flags = ["--robustness", "--certify=0.3", "--limit=2"]
    assert evaluate([runs["standard"], "--suite", eps_suite, *flags]) == 2
    printed = capsys.readouterr()
    assert "Attack success in %, suite eps" in printed.out
    other = "Certified" if measurement is RobustnessMetrics else "Robustness by minimal"
    assert other in printed.out
    assert "standard/a failed, so that the tables lack it: Expected to measure." in printed.err


def test_operator_norms_of_a_run_that_fails_cost_no_other(runs, changed, capsys):
    changed["squeezed/a"] = diverged
    assert evaluate([*runs.values(), "--lipschitz"]) == 2
    printed = capsys.readouterr()
    assert "Operator norms of the layers" in printed.out
    assert "error: squeezed/a failed, so that the tables lack it: Expected finite" in printed.err


def test_a_table_that_cannot_be_made_costs_no_other(runs, eps_suite, monkeypatch, capsys):
    def failing(*args):
        raise ConfigError("Expected to compare.")

    monkeypatch.setattr(robust.commands.evaluate, "comparison", failing)
    assert evaluate([runs["standard"], "--suite", eps_suite, "--lipschitz"]) == 2
    printed = capsys.readouterr()
    assert "Operator norms of the layers" in printed.out
    assert "The comparison failed, so that the tables lack it" in printed.err


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--grid", "cw"], "an attack of suite eps, but got 'cw'"),
        (["--draw", "recalled"], "of a network that recalls images"),
        (["--draw", "transformed"], "with an input transform"),
        (["--draw", "confidence"], "on points of two classes"),
        (["--output", "no/such/folder/table.md"], "its folder does not exist"),
        (["--limit", "0"], "`limit` to be at least 1"),
    ],
)
def test_mistakes_are_found_before_the_first_attack(
    runs, eps_suite, flags, message, monkeypatch, capsys
):
    monkeypatch.setattr(robust.evaluation.blocks, "craft", None)
    assert evaluate([*runs.values(), "--suite", eps_suite, *flags]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_targets_of_every_run_are_checked_first(runs, eps_suite, changed, capsys, tmp_path):
    write_npz(tmp_path / "few.npz", classes=4)
    changed["standard/a"] = lambda run: replace(
        run, data=ImageDataModule(str(tmp_path / "few.npz"))
    )
    suite = tmp_path / "targeted.yaml"
    suite.write_text(f"{EPS_SUITE}targets: {{pgd_0.1: 7}}\n")
    assert evaluate([*runs.values(), "--suite", str(suite)]) == 2
    assert "one of the 4 classes of few, but got 7" in capsys.readouterr().err


def test_runs_on_several_data_sets_say_so(runs, eps_suite, changed, capsys, tmp_path):
    for name in ("other", "bars"):
        (tmp_path / name).mkdir()
        dark = np.zeros((30, 28, 28), dtype=np.uint8)
        write_npz(tmp_path / name / f"{name}.npz", x_test=dark)
    output = tmp_path / "table.md"
    command = [*runs.values(), "--suite", eps_suite, "--figures", "--output", str(output)]
    for name, labels in (("other", r"other|bars"), ("bars", r"bars [0-9a-f]{8}")):
        data = ImageDataModule(str(tmp_path / name / f"{name}.npz"))
        changed["standard/a"] = lambda trained_run, data=data: replace(trained_run, data=data)
        assert evaluate(command) == 0
        text = output.read_text()
        assert "Attack success in %, suite eps, 2 data sets" in text
        assert len(re.findall(rf"^\| \w+/a on (?:{labels}) \|", text, flags=re.MULTILINE)) == 2
        (left_out,) = [line for line in notes(capsys.readouterr().err) if "compared" in line]
        assert "several data sets" in left_out


def test_figures_of_records_that_were_there_before(runs, eps_suite, capsys):
    command = [runs["standard"], "--suite", eps_suite]
    assert evaluate([*command, "--limit=4"]) == 0
    assert evaluate([*command, "--figures", "--grid=pgd"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("Figure: ") == 4
    assert not notes(printed.err)


RELEASED = """
suite: released
threat_model: {norm: Linf, eps: 1}
attacks:
  fgsm_0.02:
    class_path: robust.attacks.ReleasedFGSM
    init_args: {radius: 0.02, mean: [0.5], std: [0.5]}
  fgsm_0.1:
    class_path: robust.attacks.ReleasedFGSM
    init_args: {radius: 0.1, mean: [0.5], std: [0.5]}
limit: 8
block: 8
"""


def test_lists_among_arguments_are_plotted(runs, capsys, tmp_path):
    suite, page = tmp_path / "released.yaml", tmp_path / "page.html"
    suite.write_text(RELEASED)
    command = [runs["standard"], "--suite", str(suite), "--figures", "--grid=fgsm_0.1"]
    assert evaluate(command) == 0
    assert evaluate(["--report", str(tmp_path / "runs"), "-o", str(page)]) == 0
    printed = capsys.readouterr().err
    assert not notes(printed)
    assert "released" in page.read_text()


def test_a_training_prints_what_was_attacked_before_an_error(
    npz, suite, tmp_path, monkeypatch, capsys
):
    def failing(self, defense, data):
        raise ConfigError("Expected to measure.")

    monkeypatch.setattr(RobustnessMetrics, "measure", failing)
    flags = ["--evaluation.robustness=true", "--evaluation.limit=4"]
    assert train([*arguments(npz, tmp_path / "runs", suite, epochs=1), *flags]) == 2
    printed = capsys.readouterr()
    assert printed.out.count("Attack success in %, suite tiny") == 1
    assert "error: Expected to measure." in printed.err


def test_a_log_of_images_that_fails_costs_no_attack(runs, eps_suite, monkeypatch, capsys):
    def failing(*args, **kwargs):
        raise RuntimeError("no media")

    monkeypatch.setattr("robust.evaluation.blocks.log_adversarial_table", failing)
    assert evaluate([runs["standard"], "--suite", eps_suite]) == 0
    printed = capsys.readouterr()
    assert "Attack success in %, suite eps" in printed.out
    assert notes(printed.err)[0] == (
        "note: W&B's table of images of pgd_0.1 is left out: RuntimeError: no media"
    )


def test_a_reader_that_has_gone_ends_all_steps():
    for steps in (Steps(), Figures()):
        with pytest.raises(BrokenPipeError), steps.step("printing"):
            raise BrokenPipeError
        with pytest.raises(KeyboardInterrupt), steps.step("printing"):
            raise KeyboardInterrupt
        assert not steps.failed


def test_notes_are_one_short_line(capsys):
    note("a\n  b" + "c" * 400)
    printed = capsys.readouterr().err
    assert printed.startswith("note: a b")
    assert len(printed.rstrip("\n")) == 300
    assert reason(OSError(errno.ENOSPC, "No space", "private/path")) == "No space"
    assert reason(KeyError("x")) == "KeyError: 'x'"
