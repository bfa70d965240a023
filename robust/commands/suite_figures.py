"""Figures that `evaluate.py` plots for runs: they are in the runs' folders, and W&B gets them."""

import argparse
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from robust.errors import ConfigError
from robust.evaluation.suite import Suite
from robust.figures.accuracy_curves import plot_accuracy_curves
from robust.figures.adversarials import plot_grid
from robust.figures.one_image import figures_of
from robust.figures.operator_norms import log_lipschitz, plot_operator_norms
from robust.io.names import file_name, printable
from robust.io.notes import Figures
from robust.loading.trained_run import TrainedRun
from robust.measures.lipschitz import OperatorNorm, operator_norms
from robust.results.records import Evaluation
from robust.threat import ThreatModel
from robust.tracking import log_figures

SAMPLES = 100
"""Test samples among which the figures find some that are classified correctly."""

Makers = dict[str, Callable[[], Path | None]]
"""What makes each figure, by the key to log it by; None where there is nothing to plot."""


def plot_run(trained_run: TrainedRun, suite: Suite, result: Evaluation, figures: Figures) -> None:
    """Loss surfaces, scores and accuracy against eps of one run under a suite.

    Args:
        trained_run: The run.
        suite: The suite.
        result: What it found of the run.
        figures: Where a figure that cannot be made is noted.
    """
    infos = suite.infos.values()
    radii = [i.eps for i in infos if i.norm == "Linf" and math.isfinite(i.eps)]
    targets = [i.target for i in infos if isinstance(i.target, int)]
    folder = trained_run.figures
    curves = folder / f"accuracy_{_protocol(suite)}.png"
    makers: Makers = {
        **figures_of(
            trained_run.defense.cpu(),
            trained_run.data.test_samples(0, min(SAMPLES, trained_run.data.test_size)),
            folder,
            target=targets[0] if targets else 0,
            eps=radii[0] if radii else ThreatModel().eps,
            names=trained_run.data.class_names,
        ),
        "figures/accuracy": lambda: plot_accuracy_curves({trained_run.name: result}, curves),
    }
    show(makers, trained_run, suite.name, figures)


def plot_compared(
    options: argparse.Namespace,
    suite: Suite,
    trained_runs: Mapping[str, TrainedRun],
    results: Mapping[str, Evaluation],
    figures: Figures,
) -> None:
    """Figures of several runs: they lie with the first, and in a W&B run of their own.

    Args:
        options: Those of `evaluate.py`.
        suite: The suite.
        trained_runs: The runs.
        results: What it found of them.
        figures: Where a figure that cannot be made is noted.
    """
    first, protocol = next(iter(trained_runs.values())), _protocol(suite)
    folder = first.figures
    makers: Makers = {}
    if options.figures and len(results) > 1:
        curves = folder / f"accuracy_{protocol}_compared.png"
        makers["figures/accuracy_compared"] = lambda: _plot_curves_of_one_data_set(results, curves)
    if options.grid:
        makers[f"figures/{options.grid}"] = lambda: plot_grid(
            suite,
            {name: trained_run.defense for name, trained_run in trained_runs.items()},
            first.data.test_samples(0, min(SAMPLES, first.data.test_size)),
            options.grid,
            folder / f"adversarials_{protocol}_{file_name(options.grid)}.png",
            count=options.images,
            changes=options.images <= 5,
            names=first.data.class_names,
        )
    show(makers, first, f"{protocol}-compared", figures)


def _plot_curves_of_one_data_set(results: Mapping[str, Evaluation], path: Path) -> Path | None:
    if len({evaluation.header.data_sha256 for evaluation in results.values()}) > 1:
        raise ConfigError("the runs are on several data sets, whose accuracies share no axis.")
    return plot_accuracy_curves(results, path)


def norms_of(trained_run: TrainedRun) -> list[OperatorNorm]:
    """Operator norms of the layers of a run's network, under their names in it.

    Raises:
        ConfigError: If a weight is NaN or infinite.
    """
    norms = operator_norms(trained_run.defense.cpu(), trained_run.data.shape)
    return [norm._replace(layer=norm.layer.removeprefix("network.")) for norm in norms]


def plot_norms(
    trained_runs: Mapping[str, TrainedRun],
    norms: Mapping[str, Sequence[OperatorNorm]],
    figures: Figures,
) -> None:
    """Plot and log operator norms of every run; the figure of all lies with the first.

    Args:
        trained_runs: The runs.
        norms: Those of each run.
        figures: Where a figure that cannot be made is noted.
    """
    plotted: list[Path] = []
    for name, of_layers in norms.items():
        path = trained_runs[name].figures / "operator_norms.png"
        with figures.step(f"Figure operator_norms of {name}"):
            plotted.append(plot_operator_norms({name: of_layers}, path))
            log_lipschitz(trained_runs[name].loggers("lipschitz"), of_layers, path)
    if len(norms) > 1:
        path = next(iter(trained_runs.values())).figures / "operator_norms_compared.png"
        with figures.step("Figure operator_norms_compared"):
            plotted.append(plot_operator_norms(norms, path))
    _say(plotted)


def _protocol(suite: Suite) -> str:
    """Return what names of figures say of a suite: also that it was crafted on another network."""
    return suite.name if suite.source is None else f"{suite.name}_transfer"


def show(makers: Makers, trained_run: TrainedRun, what: str, figures: Figures) -> None:
    """Make figures one by one, log those that could be made, and print where they lie.

    Args:
        makers: What makes each, by the key to log it by.
        trained_run: The run that they are logged with.
        what: In the name of the W&B run.
        figures: Where a figure that cannot be made is noted.
    """
    plotted: dict[str, Path] = {}
    for key, make in makers.items():
        with figures.step(f"Figure {key.removeprefix('figures/')} of {trained_run.name}"):
            path = make()
            if path is not None:
                plotted[key] = path
    if plotted:
        with figures.step(f"W&B's copy of the figures of {trained_run.name}"):
            log_figures(trained_run.loggers(what), plotted)
    _say(plotted.values())


def _say(paths: Iterable[Path]) -> None:
    for path in paths:
        print(f"Figure: {printable(path)}")
