"""The charts of a page are collected here with their data."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from robust.errors import ConfigError
from robust.io.notes import Steps
from robust.io.radius import radius
from robust.report.axes import parallel_columns
from robust.report.charts import (
    HEIGHT,
    LINE,
    PARETO_HEIGHT,
    accuracy_curve_spec,
    parallel_spec,
    pareto_spec,
    training_spec,
)
from robust.report.packing import Columns, color_names, pack, spread
from robust.report.protocols import Entry, Protocol
from robust.results.curves import Curve, Panel, accuracy_curves
from robust.results.metrics import Rate
from robust.results.run_folder import Point, RunFiles
from robust.results.verdict import WORDS

_CURVE_POINTS = 26
_TRAINING_POINTS = 120
_TRAINING_CHARTS = 40
"""Each takes a tenth of a second, and a file can name thousands of metrics."""
_METRICS = {
    "train/loss": "training loss",
    "train/clean_acc": "training accuracy",
    "val/loss": "validation loss",
    "val/clean_acc": "validation accuracy",
}
"""Metrics that come first and under these names; others have their own."""


@dataclass
class Charts:
    """The charts of a page: specifications by name, and charts that use them.

    Args:
        runs: All runs of the page, which determine the names that have a colour.
    """

    runs: Sequence[RunFiles]
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        defenses = [run.defense for run in self.runs]
        self.kind, self.names = color_names([run.name for run in self.runs], defenses)

    def color(self, run: RunFiles) -> str:
        """Return the name that gives a run its colour."""
        return run.name if self.kind == "run" else run.defense

    def add(
        self,
        key: str,
        title: str,
        spec: str,
        make: Callable[[], dict[str, Any]],
        **data: Columns,
    ) -> dict[str, str]:
        """Add a chart; ``make`` gives its specification if no earlier chart had the same.

        Raises:
            ValueError: If a number is not finite.
        """
        if spec not in self.specs:
            self.specs[spec] = make()
        packed = {name: pack(columns) for name, columns in data.items()}
        json.dumps(packed, allow_nan=False)  # a browser could not read the page at all
        self.charts[key] = {"spec": spec, "title": title, "data": packed}
        return {"key": key, "title": title}


def plot_curves(charts: Charts, protocol: Protocol) -> list[dict[str, str]]:
    """Add accuracy against eps, a chart a family of attacks."""
    colors = {entry.label: charts.color(entry.run) for entry in protocol.entries}
    added = []
    for i, panel in enumerate(accuracy_curves(protocol.evaluations)):
        norm, points, ticks = panel.info.norm, not panel.info.minimal, panel.ticks

        def make(panel: Panel = panel) -> dict[str, Any]:
            points = not panel.info.minimal
            return accuracy_curve_spec(charts.names, panel.info.norm, panel.ticks, points=points)

        columns = _curve_columns(panel, colors)
        ends = _ends(columns, "eps", "rate", 100.0) if charts.kind != "run" else _NO_ENDS
        title = f"{panel.family}{_goal(panel)}"
        key = f"{protocol.key}-curve{i}"
        added.append(
            charts.add(key, title, f"curve-{norm}-{points}-{ticks}", make, data=columns, ends=ends)
        )
    return added


_NO_ENDS: Columns = {"run": [], "color": [], "x": [], "at": []}


def _ends(columns: Columns, x: str, y: str, span: float) -> Columns:
    """Return where the label of each run stands, at the end of its last line.

    There are none where a chart is too low for all of them.

    Args:
        columns: The chart's data.
        x: Column of the horizontal axis.
        y: Column of the vertical axis.
        span: What the vertical axis spans.
    """
    last: dict[str, int] = {run: i for i, run in enumerate(columns["run"])}
    if not last or LINE * len(last) > HEIGHT:
        return _NO_ENDS
    rows = list(last.values())
    return {
        "run": list(last),
        "color": [columns["color"][i] for i in rows],
        "x": [columns[x][i] for i in rows],
        "at": spread([columns[y][i] for i in rows], span * LINE / HEIGHT),
    }


def _goal(panel: Panel) -> str:
    target = panel.info.target
    if target is None:
        return ""
    return ", to random classes" if target == "random" else f", to class {target}"


def _curve_columns(panel: Panel, colors: Mapping[str, str]) -> Columns:
    table = _Table("run", "color", "view", "eps", "within", "rate", "low", "high", "n")
    for curve in panel.curves:
        if not curve.rates[0].n:  # the run was not attacked through this view
            continue
        for eps, rate in _thinned(curve):
            if rate.n:  # or this attack has no rows yet
                values = (eps, radius(eps), *percent(rate), rate.n)
                table.add(curve.run, colors[curve.run], curve.view, *values)
    return table.columns


def _thinned(curve: Curve) -> list[tuple[float, Rate]]:
    pairs = list(zip(curve.eps, curve.rates, strict=True))
    step = max(1, math.ceil((len(pairs) - 1) / (_CURVE_POINTS - 1)))
    return pairs[::step]


def percent(rate: Rate) -> tuple[float, float, float]:
    """Return a rate and the bounds of its interval, in %."""
    low, high = rate.interval
    return 100 * rate.value, 100 * low, 100 * high


def plot_pareto(charts: Charts, protocol: Protocol) -> dict[str, str] | None:
    """Add clean accuracy against the adaptive worst case; None without an adaptive view."""
    table = _Table(
        "run", "color", "verdict", "clean", "clean_low", "clean_high",
        "rate", "low", "high", "view", "claim", "n", "at",
    )  # fmt: skip
    entries = _adaptive(protocol)
    height = max(PARETO_HEIGHT, LINE * len(entries))
    rates = [100 * entry.robust["adaptive"].value for entry in entries]
    for entry, at in zip(entries, spread(rates, 100 * LINE / height, 0.0), strict=True):
        claim = {view: 100 * rate.value for view, rate in entry.robust.items()}
        view = max(claim, key=lambda name: (claim[name], name == "adaptive"))
        table.add(
            entry.label,
            charts.color(entry.run),
            entry.verdict.word,
            *percent(entry.clean),
            *percent(entry.robust["adaptive"]),
            view,
            claim[view],
            entry.n,
            at,
        )
    if not table.columns["run"]:
        return None
    return charts.add(
        f"{protocol.key}-pareto",
        "Clean accuracy against the adaptive worst case",
        f"pareto-{height}",
        lambda: pareto_spec(charts.names, WORDS, height, labels=charts.kind != "run"),
        data=table.columns,
    )


def plot_parallel(charts: Charts, protocol: Protocol) -> dict[str, str] | None:
    """Add settings that differ and the accuracies; None for fewer than three comparable runs."""
    entries = _adaptive(protocol)
    if len(entries) < 3:
        return None
    lines, ticks = parallel_columns(entries, charts.color)
    return charts.add(
        f"{protocol.key}-sweep",
        "Settings that differ, and the resulting accuracy",
        "parallel",
        parallel_spec,
        data=lines,
        ticks=ticks,
    )


def _adaptive(protocol: Protocol) -> list[Entry]:
    return [entry for entry in protocol.entries if "adaptive" in entry.robust]


def plot_trainings(charts: Charts, steps: Steps | None = None) -> list[dict[str, str]]:
    """Add a chart for every metric that trainings logged, the usual ones first, without bounds.

    Args:
        charts: The charts of the page.
        steps: Where a chart that cannot be made is noted.
    """
    logged = {
        key
        for run in charts.runs
        for key in run.metrics
        if key.startswith(("train/", "val/")) and not key.endswith(("_low", "_high"))
    }
    added: list[dict[str, str]] = []
    steps = steps or Steps()
    metrics = [*(m for m in _METRICS if m in logged), *sorted(logged - set(_METRICS))]
    if len(metrics) > _TRAINING_CHARTS:
        with steps.step(f"{len(metrics) - _TRAINING_CHARTS} of {len(metrics)} charts of metrics"):
            raise ConfigError(f"a page has at most {_TRAINING_CHARTS}")
    for metric in metrics[:_TRAINING_CHARTS]:
        table = _Table("run", "color", "step", "value")
        for run in charts.runs:
            for point in _spaced(run.metrics.get(metric, [])):
                table.add(run.name, charts.color(run), *point)
        title = _METRICS.get(metric, metric)

        def make(title: str = title) -> dict[str, Any]:
            return training_spec(charts.names, title)

        key = f"training-{len(added)}"
        with steps.step(f"The chart of {metric}"):
            ends = _ends_of_training(table.columns) if charts.kind != "run" else _NO_ENDS
            added.append(charts.add(key, title, key, make, data=table.columns, ends=ends))
    return added


def _ends_of_training(columns: Columns) -> Columns:
    values = columns["value"]
    return _ends(columns, "step", "value", max(values) - min(values)) if values else _NO_ENDS


def _spaced(points: Sequence[Point]) -> list[Point]:
    """Return at most as many points as a chart can show, with the last one."""
    step = math.ceil(len(points) / _TRAINING_POINTS) or 1
    return list(points[::-1][::step])[::-1]


def overlaps(protocol: Protocol) -> dict[str, Any]:
    """Return how many images pairs of attacks get misclassified, by run and view."""
    return {
        "attacks": protocol.attacks,
        "counts": {
            entry.label: {view: entry.overlap(view) for view in entry.evaluation.views}
            for entry in protocol.entries
        },
    }


class _Table:
    """A table grows by rows and keeps columns."""

    def __init__(self, *names: str) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in names}

    def add(self, *values: str | float | int) -> None:
        for column, value in zip(self.columns.values(), values, strict=True):
            column.append(value)
