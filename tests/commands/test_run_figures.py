"""`evaluate.py --draw` plots figures of runs that need no suite."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from robust.commands.evaluate import evaluate
from robust.commands.options.evaluate import Figure
from robust.commands.run_figures import plot_figures
from robust.data import ImageDataModule
from robust.defenses import Recall
from robust.errors import ConfigError
from robust.loading.trained_run import TrainedRun
from robust.transforms import FeatureSqueezing
from tests.commands.test_evaluate import shown
from tests.support.tiny import TinyNetwork

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def folders(trained, tmp_path):
    """Copies of the trained runs, to write into."""
    return {
        name: shutil.copytree(folder, tmp_path / "runs" / name / "a")
        for name, folder in trained.items()
    }


def test_progress_of_several_runs_lies_with_the_first(folders, capsys):
    assert evaluate([*map(str, folders.values()), "--draw", "progress"]) == 0
    first = next(iter(folders))
    assert shown(capsys) == [f"{first}/a/figures/progress.png"]


@pytest.mark.parametrize(
    ("figure", "what"),
    [
        ("confidence", "on points of two classes"),
        ("recalled", "of a network that recalls images, but squeezed/a is Squeezed"),
        ("transformed", "with an input transform, but squeezed/a has none"),
    ],
)
def test_a_figure_that_a_run_does_not_have(folders, figure, what, capsys):
    assert evaluate([str(folders["squeezed"]), "--draw", figure]) == 2
    error = capsys.readouterr().err
    assert what in error
    assert "Traceback" not in error


def test_images_before_and_after_a_transform(folders, capsys):
    trained_run = TrainedRun.load(Path(folders["standard"]))
    trained_run.defense.transform = FeatureSqueezing(1)
    plot_figures(["transformed", "transformed"], {"a": trained_run})
    assert shown(capsys) == ["standard/a/figures/transformed.png"]
    with Image.open(trained_run.folder / "figures" / "transformed.png") as figure:
        assert figure.height > 400  # four rows


def test_features_of_several_runs(folders, capsys):
    trained_runs = {name: TrainedRun.load(Path(folder)) for name, folder in folders.items()}
    first = next(iter(trained_runs))
    trained_runs[first].defense.transform = FeatureSqueezing(1)
    plot_figures(["features"], trained_runs)
    assert shown(capsys) == [f"{first}/a/figures/features.png"]
    assert isinstance(trained_runs[first].defense.transform, FeatureSqueezing)
    other = replace(trained_runs[first], data=ImageDataModule("cifar10"))
    with pytest.raises(ConfigError, match="on one data set"):
        plot_figures(["features"], {**trained_runs, "other": other})


def test_recalled_images(folders, capsys):
    standard = TrainedRun.load(Path(folders["standard"]))
    channels, side, _ = standard.data.shape
    recall = Recall(lambda outputs: TinyNetwork(num_classes=outputs))
    recall.representatives = torch.rand(10, channels * side**2)
    plot_figures(["recalled"], {"a": replace(standard, defense=recall)})
    assert shown(capsys) == ["standard/a/figures/recalled.png"]


def test_every_figure_has_a_test():
    tested = {"confidence", "features", "progress", "recalled", "transformed"}
    assert set(Figure.__args__) == tested
