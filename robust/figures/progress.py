"""The figure shows the accuracy of several runs epoch by epoch.

Wang et al. 2018 (https://arxiv.org/abs/1809.08516), Figure 3, compares two networks in this way.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from robust.errors import ConfigError
from robust.figures.figure_files import save_figure
from robust.results.colors import COLORS, MARKERS
from robust.tracking import read_metrics


def read_progress(folder: Path, metric: str = "val/clean_acc") -> dict[int, float]:
    """Return the last value of a metric in each epoch, from 0, over all sessions of a run.

    Args:
        folder: The folder of the run.
        metric: Name of a column of its ``metrics.csv``.

    Raises:
        ConfigError: If there is no such number.
    """
    rows = read_metrics(folder)
    found = {int(row["epoch"]): row[metric] for row in rows if {"epoch", metric} <= row.keys()}
    if not found:
        columns = sorted({key for row in rows for key in row})
        raise ConfigError(
            f"Expected `{metric}` at some epoch in the metrics.csv of {folder}, but got "
            f"{', '.join(columns) or 'none'}. Choose one of them, or a run with a validation set."
        )
    return dict(sorted(found.items()))


def plot_progress(runs: Mapping[str, Path], path: Path, metric: str = "val/clean_acc") -> Path:
    """Plot a metric against the number of trained epochs, one line a run.

    Args:
        runs: The folder of each run, by the name to show.
        path: PNG file to write; its folder is made if absent.
        metric: A share, shown in percent.

    Raises:
        ConfigError: If there is no run, as `read_progress`, or if ``path`` cannot be written.
    """
    if not runs:
        raise ConfigError("Expected at least one run to plot, but got none. Name its folder.")
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.subplots()
    for i, (name, folder) in enumerate(runs.items()):
        values = read_progress(folder, metric)
        axes.plot(
            [epoch + 1 for epoch in values],
            [100 * value for value in values.values()],
            color=COLORS[i % len(COLORS)],
            marker=MARKERS[i % len(MARKERS)],
            markevery=max(1, math.ceil(len(values) / 10)),
            label=name,
        )
    axes.set(xlabel="epochs trained", ylabel=f"{metric} in %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=10)
    return save_figure(figure, path)
