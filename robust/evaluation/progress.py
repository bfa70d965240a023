"""Accuracy epoch by epoch, of several runs in one figure.

Wang et al. 2018 (https://arxiv.org/abs/1809.08516), Figure 3, compares two networks so.
"""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from robust.errors import ConfigError
from robust.evaluation.colors import COLORS, MARKERS
from robust.evaluation.plots import save_figure


def read_progress(file: Path, metric: str = "val/clean_acc") -> dict[int, float]:
    """What a run's ``metrics.csv`` says of a metric: its last value in each epoch, from 0 on.

    Args:
        file: With the columns ``epoch`` and ``metric``; rows without either are passed over.
        metric: Name of the column.

    Raises:
        ConfigError: If the file cannot be read, or holds no such number.
    """
    try:
        with file.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        found = {
            int(row["epoch"]): float(row[metric])
            for row in rows
            if row.get("epoch") and row.get(metric)
        }
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(
            f"Expected the metrics of a run in {file}, but it cannot be read ({error}). "
            "Name the metrics.csv in the folder of a run."
        ) from None
    if not found:
        columns = sorted({key for row in rows for key, value in row.items() if key and value})
        raise ConfigError(
            f"Expected `{metric}` at some epoch in {file}, but got {', '.join(columns) or 'none'}. "
            "Choose one of them, or a run with a validation set."
        )
    return dict(sorted(found.items()))


def draw_progress(runs: Mapping[str, Path], path: Path, metric: str = "val/clean_acc") -> Path:
    """Draw a metric against the number of trained epochs, one line a run.

    Args:
        runs: The ``metrics.csv`` of each run, by the name to draw.
        path: PNG file to write; its folder is made if absent.
        metric: A share, drawn in percent.

    Raises:
        ConfigError: If there is no run, as `read_progress`, or if ``path`` cannot be written.
    """
    if not runs:
        raise ConfigError("Expected at least one run to draw, but got none. Name its metrics.csv.")
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.subplots()
    for i, (name, file) in enumerate(runs.items()):
        values = read_progress(file, metric)
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
