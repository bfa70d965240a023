"""Robust accuracy against eps: one curve a run and view, one panel a family of attacks."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from robust.evaluation.metrics import Rate, accuracy_curve, clean_accuracy, robust_accuracy
from robust.evaluation.plots import COLORS, MARKERS, save_figure
from robust.evaluation.records import AttackInfo, Evaluation

_RADII = 101
"""Points of a curve that one crafting gives whole."""
_STYLES: dict[str, Literal["-", ":", "-.", "--"]] = {
    "deployed": "-",
    "published": ":",
    "transfer": "-.",
    "adaptive": "--",
}
_UNITS = {"Linf": "Linf, pixel units", "L2": "L2, pixel units", "L0": "L0, pixels"}
_COLUMNS = 3


class Curve(NamedTuple):
    """Robust accuracy of a run through a view."""

    run: str
    view: str
    eps: list[float]
    """Ascending from 0, where the accuracy is the clean one."""
    rates: list[Rate]
    """Share of all samples that are correct and stay so within each eps."""


class Panel(NamedTuple):
    """The curves of one family of attacks."""

    family: str
    info: AttackInfo
    """The attack of the smallest eps; the only one, if it looks for the nearest image."""
    curves: list[Curve]


def families(attacks: Mapping[str, AttackInfo]) -> dict[str, list[str]]:
    """Attacks that differ in ``eps`` only (and in ``alpha``, which papers scale with it), by eps.

    Of one class, norm, target, code, and otherwise equal arguments. A minimal-norm attack is a
    family of its own. A family has the name of its attacks without the number at the end
    (``pgd_0.1``, ``pgd_0.2``: ``pgd``), else that of its first.

    Args:
        attacks: Of one suite, by name.
    """
    groups: dict[Any, list[str]] = {}
    for name, info in attacks.items():
        fixed = {k: v for k, v in info.arguments.items() if k not in ("eps", "alpha")}
        same = (info.name, info.norm, info.target, info.code_sha256, tuple(sorted(fixed.items())))
        groups.setdefault((name,) if info.minimal else same, []).append(name)
    named: dict[str, list[str]] = {}
    for names in groups.values():
        stems = {re.sub(r"[\W_]*[\d.]+$", "", name) for name in names}
        stem = stems.pop() if len(names) > 1 and len(stems) == 1 else ""
        label = names[0] if not stem or stem in attacks or stem in named else stem
        named[label] = sorted(names, key=lambda name: attacks[name].eps)
    return named


def accuracy_curves(evaluations: Mapping[str, Evaluation]) -> list[Panel]:
    """Curves of all families that have one: two eps at least, or a minimal-norm attack.

    Where a family has several attacks of one eps, the lowest accuracy counts. A minimal-norm attack
    gives the accuracy at every radius up to its ``eps``; if that is infinite, up to the largest
    distance at which it found an adversarial image in any of the runs.

    Args:
        evaluations: Records by the names of their runs, of one suite.
    """
    attacks = next(iter(evaluations.values())).header.attacks
    panels = []
    for family, names in families(attacks).items():
        info = attacks[names[0]]
        if not info.minimal and len({attacks[name].eps for name in names}) < 2:
            continue
        radii = _radii(evaluations, names[0]) if info.minimal else []
        curves = [
            _curve(run, evaluation, view, names, radii)
            for run, evaluation in evaluations.items()
            for view in evaluation.views
        ]
        panels.append(Panel(family, info, curves))
    return panels


def draw_accuracy_curves(evaluations: Mapping[str, Evaluation], path: Path) -> Path | None:
    """Draw `accuracy_curves`: runs by colour, views by dashes, with 95 % Wilson intervals as bands.

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
        _draw_panel(axes, panel, runs)
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


def _radii(evaluations: Mapping[str, Evaluation], name: str) -> list[float]:
    largest = 0.0
    for evaluation in evaluations.values():
        info = evaluation.header.attacks[name]
        if math.isfinite(info.eps):
            largest = info.eps
            continue
        for view in evaluation.views:
            rows = evaluation.select(view, name)
            largest = max(largest, info.distance(rows)[info.turned(rows)].max(initial=0.0))
    return [largest * i / (_RADII - 1) for i in range(_RADII)]


def _curve(
    run: str, evaluation: Evaluation, view: str, names: Sequence[str], radii: Sequence[float]
) -> Curve:
    attacks = evaluation.header.attacks
    clean = clean_accuracy(evaluation.select(view, names[0]))
    if radii:
        rates = accuracy_curve(evaluation.select(view, names[0]), attacks[names[0]], radii[1:])
        return Curve(run, view, list(radii), [clean, *rates])
    lowest: dict[float, Rate] = {0.0: clean}
    for name in names:
        rate = robust_accuracy(evaluation.select(view, name), attacks[name])
        eps = attacks[name].eps
        lowest[eps] = min(rate, lowest.get(eps, rate), key=lambda rate: rate.value)
    return Curve(run, view, list(lowest), list(lowest.values()))


def _draw_panel(axes: Axes, panel: Panel, runs: Sequence[str]) -> None:
    opacity = max(0.04, 0.2 - 0.02 * len(panel.curves))
    for curve in panel.curves:
        place = runs.index(curve.run)
        color = COLORS[place % len(COLORS)]
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
            marker="" if panel.info.minimal else _marker(place),
            markersize=5,
        )
    axes.set(ylim=(-3, 103), xlim=(0, None))
    target = panel.info.target
    goal = "random classes" if target == "random" else f"class {target}"
    title = panel.family if target is None else f"{panel.family}, targeted to {goal}"
    axes.set_title(title, fontsize=13)
    axes.set_xlabel(f"eps ({_UNITS[panel.info.norm]})", fontsize=12)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_axisbelow(True)
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)


def _marker(place: int) -> str:
    # Runs beyond the colours have the same colour again, but another marker.
    return MARKERS[(place + place // len(COLORS)) % len(MARKERS)]


def _width(view: str) -> float:
    # Thick dashes over a thin line show both where two views are one.
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
