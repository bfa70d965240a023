"""Plots what `evaluate.py --draw` names: figures of trained runs that need no suite of attacks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from robust.attacks import FGSM, PGD, craft
from robust.commands.options.evaluate import Figure
from robust.commands.suite_figures import SAMPLES, show
from robust.defenses import Recall
from robust.errors import ConfigError
from robust.figures.confidence import check_plane, plot_confidence
from robust.figures.features import features_of, plot_features
from robust.figures.progress import plot_progress, read_progress
from robust.figures.recalled import plot_recalled
from robust.figures.reconstructions import plot_reconstructions
from robust.io.notes import Figures
from robust.loading.trained_run import TrainedRun

Runs = Mapping[str, TrainedRun]
Plotting = tuple[TrainedRun, Callable[[], Path]]
"""The run that a file lies with, and what plots it."""

_COLUMNS = 6
_EPS = 8 / 255
_EPS_OF_FEATURES = 0.02
_WITH_TWO_CLASSES = 1000
"""Test samples of which those of the first two classes are plotted."""


def check_figures(names: Sequence[Figure], trained_runs: Runs) -> None:
    """Raise if a figure is of something that the runs do not have.

    Raises:
        ConfigError: With the run that has it not.
    """
    for name in names:
        _CHECKS[name](trained_runs)


def plot_figures(
    names: Sequence[Figure], trained_runs: Runs, figures: Figures | None = None
) -> None:
    """Plot each of these figures; those of several runs lie with the first.

    Args:
        names: The figures.
        trained_runs: The runs.
        figures: Where one that cannot be made is noted.

    Raises:
        ConfigError: As `check_figures`.
    """
    check_figures(names, trained_runs)
    noted = figures or Figures()
    for name in dict.fromkeys(names):
        for trained_run, make in _FIGURES[name](trained_runs):
            show({f"figures/{name}": make}, trained_run, name, noted)


def _file(trained_run: TrainedRun, name: str) -> Path:
    return trained_run.figures / f"{name}.png"


def _first(trained_runs: Runs) -> TrainedRun:
    return next(iter(trained_runs.values()))


def _check_plane(trained_runs: Runs) -> None:
    check_plane({name: trained_run.data for name, trained_run in trained_runs.items()})


def _confidence(trained_runs: Runs) -> Iterator[Plotting]:
    first = _first(trained_runs)
    runs = {
        name: (trained_run.defense.cpu(), trained_run.data)
        for name, trained_run in trained_runs.items()
    }
    yield first, lambda: plot_confidence(runs, _file(first, "confidence"))


def _check_one_data_set(trained_runs: Runs) -> None:
    first = _first(trained_runs)
    for trained_run in trained_runs.values():
        if trained_run.data.name != first.data.name:
            raise ConfigError(
                f"Expected runs on one data set to plot features, but got {first.data.name} and "
                f"{trained_run.data.name}. Leave some out."
            )


def _features(trained_runs: Runs) -> Iterator[Plotting]:
    first = _first(trained_runs)
    yield first, lambda: _plot_features(trained_runs, _file(first, "features"))


def _plot_features(trained_runs: Runs, path: Path) -> Path:
    """Of an attacker who does not know of a transform; Wang et al. 2018, Figure 4."""
    first = _first(trained_runs)
    batch = first.data.test_samples(0, min(_WITH_TWO_CLASSES, first.data.test_size))
    x, y, index = (part[batch.y < 2] for part in batch)
    runs = {}
    for name, trained_run in trained_runs.items():
        defense = trained_run.defense.cpu()
        transform, view = defense.transform, defense.published_view()
        attacked = f"FGSM, eps {_EPS_OF_FEATURES}"
        x_adv = craft(
            lambda view: FGSM(view, _EPS_OF_FEATURES), view, x, y, sample_seeds=index
        ).x_adv
        kinds = {"clean": features_of(defense, x), attacked: features_of(defense, x_adv)}
        if not isinstance(transform, nn.Identity):
            after = f"{attacked}, {type(transform).__name__}"
            kinds[after] = features_of(defense, x_adv, transform)
        runs[name] = kinds
    return plot_features(runs, y, path, names=("class 0", "class 1"))


def _check_progress(trained_runs: Runs) -> None:
    for trained_run in trained_runs.values():
        read_progress(trained_run.folder)


def _progress(trained_runs: Runs) -> Iterator[Plotting]:
    first = _first(trained_runs)
    runs = {name: trained_run.folder for name, trained_run in trained_runs.items()}
    yield first, lambda: plot_progress(runs, _file(first, "progress"))


def _check_recalls(trained_runs: Runs) -> None:
    for name, trained_run in trained_runs.items():
        if not isinstance(trained_run.defense, Recall):
            raise ConfigError(
                f"Expected runs of a network that recalls images, but {name} is "
                f"{type(trained_run.defense).__name__}. Leave it out."
            )


def _recalled(trained_runs: Runs) -> Iterator[Plotting]:
    for trained_run in trained_runs.values():
        yield trained_run, partial(_plot_recalled, trained_run)


@torch.no_grad()
def _plot_recalled(trained_run: TrainedRun) -> Path:
    defense = trained_run.defense.cpu().eval()
    assert isinstance(defense, Recall)
    batch = trained_run.data.test_samples(0, min(SAMPLES, trained_run.data.test_size))
    names = trained_run.data.class_names
    return plot_recalled(defense, batch, _file(trained_run, "recalled"), names=names)


def _check_transforms(trained_runs: Runs) -> None:
    for name, trained_run in trained_runs.items():
        if isinstance(trained_run.defense.transform, nn.Identity):
            raise ConfigError(
                f"Expected runs with an input transform, but {name} has none. Leave it out."
            )


def _transformed(trained_runs: Runs) -> Iterator[Plotting]:
    for trained_run in trained_runs.values():
        yield trained_run, partial(_plot_transformed, trained_run)


def _plot_transformed(trained_run: TrainedRun) -> Path:
    """Images and adversarial ones of an attacker who does not know of the transform."""
    defense = trained_run.defense.cpu()
    x, y, index = trained_run.data.test_samples(0, min(_COLUMNS, trained_run.data.test_size))
    view = defense.published_view()
    x_adv = craft(lambda view: PGD(view, _EPS), view, x, y, sample_seeds=index).x_adv
    rows = {"image": x, "PGD, Linf 8/255": x_adv}
    return plot_reconstructions(rows, defense.transform, _file(trained_run, "transformed"))


_CHECKS: dict[Figure, Callable[[Runs], None]] = {
    "confidence": _check_plane,
    "features": _check_one_data_set,
    "progress": _check_progress,
    "recalled": _check_recalls,
    "transformed": _check_transforms,
}
_FIGURES: dict[Figure, Callable[[Runs], Iterator[Plotting]]] = {
    "confidence": _confidence,
    "features": _features,
    "progress": _progress,
    "recalled": _recalled,
    "transformed": _transformed,
}
