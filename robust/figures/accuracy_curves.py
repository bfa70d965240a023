"""The figure shows robust accuracy against eps."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from robust.figures.figure_files import save_figure
from robust.io.radius import radius
from robust.results.colors import COLORS, MARKERS
from robust.results.curves import Panel, accuracy_curves
from robust.results.records import Evaluation

_STYLES: dict[str, Literal["-", ":", "-.", "--"]] = {
    "deployed": "-",
    "published": ":",
    "transfer": "-.",
    "adaptive": "--",
}
_UNITS = {
    **{norm: f"{norm}, pixel units" for norm in ("Linf", "L2", "L1")},
    "L0": "L0, pixels",
}
_COLUMNS = 3


def plot_accuracy_curves(evaluations: Mapping[str, Evaluation], path: Path) -> Path | None:
    """Plot `accuracy_curves`: runs by colour, views by dashes, 95 % Wilson intervals as bands.

    Args:
        evaluations: Records by the names of their runs, of one suite.
        path: PNG file to write; its folder is made if absent.

    Returns:
        The file, or None if no family of the suite has a curve.

    Raises:
        ConfigError: If ``path`` cannot be written.
    """
    panels = accuracy_curves(evaluations)
    if not panels:
        return None
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    runs = list(evaluations)
    views = list(dict.fromkeys(curve.view for panel in panels for curve in panel.curves))
    height = 3.6 * rows + 0.3 * (len(runs) + 3)
    figure = Figure(figsize=(max(7.0, 4.6 * columns), height), dpi=100, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _plot_panel(axes, panel, runs)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("robust accuracy, %", fontsize=12)
    header = next(iter(evaluations.values())).header
    n = max(curve.rates[0].n for curve in panels[0].curves)
    title = f"Suite {header.suite}, {n} test images of {header.data}"
    figure.suptitle(f"{title}\nBands: 95 % Wilson intervals", fontsize=13)
    figure.legend(
        handles=_legend(runs, views),
        loc="outside lower center",
        ncols=1 if max(map(len, runs)) > 30 else 2,
        fontsize=11,
        frameon=False,
        handlelength=3,
    )
    return save_figure(figure, path)


def _plot_panel(axes: Axes, panel: Panel, runs: Sequence[str]) -> None:
    opacity = max(0.04, 0.2 - 0.02 * len(panel.curves))
    for curve in panel.curves:
        number = runs.index(curve.run)
        color = COLORS[number % len(COLORS)]
        low, high = zip(*(rate.interval for rate in curve.rates), strict=True)
        axes.fill_between(
            curve.eps,
            [100 * p for p in low],
            [100 * p for p in high],
            color=color,
            alpha=opacity,
            lw=0,
        )
        axes.plot(
            curve.eps,
            [100 * rate.value for rate in curve.rates],
            color=color,
            linestyle=_STYLES[curve.view],
            linewidth=_width(curve.view),
            clip_on=False,
            marker="" if panel.info.minimal else _marker(number),
            markersize=5,
        )
    axes.set(ylim=(-3, 103), xlim=(0, None))
    target = panel.info.target
    goal = "random classes" if target == "random" else f"class {target}"
    title = panel.family if target is None else f"{panel.family}, targeted to {goal}"
    axes.set_title(title, fontsize=13)
    axes.set_xlabel(f"eps ({_UNITS[panel.info.norm]})", fontsize=12)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if panel.ticks:
        axes.set_xticks(panel.ticks, [radius(tick) for tick in panel.ticks])
    axes.set_axisbelow(True)
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)


def _marker(number: int) -> str:
    # Beyond the last colour the colours repeat with other markers.
    return MARKERS[(number + number // len(COLORS)) % len(MARKERS)]


def _width(view: str) -> float:
    # Thick dashes over a thin line show both views where they agree.
    return 1.5 if view == "deployed" else 3.0


def _legend(runs: Sequence[str], views: Sequence[str]) -> list[Line2D]:
    lines = [
        Line2D([], [], color=COLORS[i % len(COLORS)], marker=_marker(i), lw=2, label=run)
        for i, run in enumerate(runs)
    ]
    styles = [
        Line2D([], [], color="0.3", linestyle=_STYLES[view], lw=_width(view), label=f"{view} view")
        for view in views
    ]
    return [*lines, *styles]
