"""A summary of a sweep has the best run and the Pareto front, also as CSV and JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from robust.io import files
from robust.io.names import printable, short_names
from robust.io.radius import radius
from robust.results.cells import Grid
from robust.sweep.file import History, SweepFile
from robust.sweep.trials import Trial

# A stopped run has no metrics of the test set.
_FRONTS = [
    ("test/clean_acc", "test/worst_robust_acc/adaptive"),
    ("val/clean_acc", "val/worst_robust_acc/adaptive"),
]
_BOUNDS = ("_low", "_high")
_NO_METRICS = ("step", "epoch")
NOT_LOGGED = "not logged"
"""It stands for a metric that a run has not logged, or not yet."""
_LOST = "its metrics.csv is gone; it is not run again, and a search counts the value on record"


@final
@dataclass(frozen=True)
class Summary:
    """The state of a sweep; ``sweep.json`` has these fields.

    Args:
        name: Name of the sweep.
        metric: The metric that it optimizes.
        maximized: Whether larger is better.
        parameters: Dotted keys of the parameters.
        front: The two metrics of the Pareto front, both better if larger.
        best: Id of the finished run with the best last value of the metric; None without one.
        runs: For each its ``id``, ``state``, ``message``, ``seconds``, ``parameters``, the last
            value of all its ``metrics``, and whether it is on the ``front``.
    """

    name: str
    metric: str
    maximized: bool
    parameters: list[str]
    front: tuple[str, str]
    best: str | None
    runs: list[dict[str, Any]]

    @staticmethod
    def from_trials(
        file: SweepFile, trials: Sequence[Trial], histories: Mapping[str, History]
    ) -> "Summary":
        """Summarize trials by what they logged."""
        last = {trial.id: _last(histories[trial.id]) for trial in trials}
        finished = {t.id: last[t.id] for t in trials if t.state == "finished"}
        # A run whose metrics.csv was removed is not compared.
        values = {i: m[file.metric] for i, m in finished.items() if file.metric in m}
        best = (max if file.maximized else min)(values, key=values.__getitem__, default=None)
        front = next(
            (f for f in _FRONTS if any(set(f) <= set(m) for m in last.values())), _FRONTS[0]
        )
        points = {i: (m[front[0]], m[front[1]]) for i, m in last.items() if set(front) <= set(m)}
        on_front = pareto_front(points)
        runs = [
            {
                "id": trial.id,
                "state": trial.state,
                "message": trial.message or _lost(trial, last[trial.id]),
                "seconds": round(trial.seconds, 1),
                "parameters": trial.parameters,
                "metrics": last[trial.id],
                "front": trial.id in on_front,
            }
            for trial in trials
        ]
        return Summary(file.name, file.metric, file.maximized, file.keys, front, best, runs)

    def write(self, folder: Path) -> None:
        """Replace ``sweep.json`` and ``sweep.csv`` in the sweep's folder, each atomically.

        The table has one row a run, with its parameters, accuracies and the metric.
        """
        _replace(folder / "sweep.json", json.dumps(asdict(self), indent=1))
        shown = sorted({k for run in self.runs for k in run["metrics"] if self._is_shown(k)})
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        fixed = ["id", "state", "message", "seconds", "front"]
        writer.writerow([*fixed, *self.parameters, *shown])
        for run in self.runs:
            row = [run[key] for key in fixed]
            row += [run["parameters"].get(key, "") for key in self.parameters]
            writer.writerow([*row, *(run["metrics"].get(key, "") for key in shown)])
        _replace(folder / "sweep.csv", text.getvalue())

    def grid(self) -> Grid:
        """Return a table of runs, the best first, with accuracies in %."""
        ordered = sorted(self.runs, key=self._rank)
        logged = {key for run in self.runs for key in run["metrics"]}
        columns = [self.metric, *(k for k in self.front if k != self.metric and k in logged)]
        rows = [
            [
                run["id"] + (" *" if run["front"] else ""),
                run["state"],
                *(shown(run["parameters"].get(key), key) for key in self.parameters),
                *(measured(key, run["metrics"].get(key)) for key in columns),
                f"{run['seconds'] / 60:.1f}",
            ]
            for run in ordered
        ]
        header = ["run", "state", *short_names(self.parameters), *columns, "minutes"]
        return Grid(f"Sweep {self.name}", header, rows, self._notes())

    def _notes(self) -> list[str]:
        notes = [
            f"{run['id']} {run['state']}: {run['message']}"
            for run in self.runs
            if run["state"] == "failed" or run["message"] == _LOST
        ]
        by_id = {run["id"]: run for run in self.runs}
        if self.best is not None:
            notes.append(f"Best {self.metric}: {self._line(by_id[self.best], [self.metric])}")
        on_front = sorted(
            (run for run in self.runs if run["front"]),
            key=lambda run: run["metrics"][self.front[0]],
        )
        if on_front:
            notes.append(f"* Pareto front of {' and '.join(self.front)}:")
            notes += [f"  {self._line(run, self.front)}" for run in on_front]
        return notes

    def _line(self, run: Mapping[str, Any], keys: Sequence[str]) -> str:
        parameters = ", ".join(f"{k}={shown(v, k)}" for k, v in run["parameters"].items())
        values = ", ".join(measured(key, run["metrics"][key]) for key in keys)
        return f"{run['id']}: {values} with {parameters}"

    def _rank(self, run: Mapping[str, Any]) -> tuple[bool, float]:
        value = run["metrics"].get(self.metric, 0.0)
        return self.metric not in run["metrics"], -value if self.maximized else value

    def _is_shown(self, key: str) -> bool:
        accuracy = "clean_acc" in key or "worst_robust_acc" in key
        return key == self.metric or (accuracy and not key.endswith(_BOUNDS))


def pareto_front(points: Mapping[str, tuple[float, float]]) -> set[str]:
    """Return names of the points to which no other is better in one coordinate and not worse."""
    return {
        name
        for name, (x, y) in points.items()
        if not any(
            u >= x and v >= y and (u, v) != (x, y)
            for other, (u, v) in points.items()
            if other != name
        )
    }


def shown(value: Any, key: str = "") -> str:  # noqa: ANN401
    """Return a parameter's value in YAML, numbers with four digits, eps as people write it."""
    if isinstance(value, float):
        return radius(value) if key.rpartition(".")[2] == "eps" else f"{value:.4g}"
    return printable(json.dumps(value, ensure_ascii=False) if _is_word(value) else value)


def _is_word(value: Any) -> bool:  # noqa: ANN401
    """Return whether YAML and Python write it differently."""
    return value is None or isinstance(value, bool | list | dict)


def measured(key: str, value: float | None) -> str:
    """Return an accuracy in %, another metric in four digits, and words without a value."""
    if value is None:
        return NOT_LOGGED
    return f"{100 * value:.1f}" if "_acc" in key else shown(value)


def _lost(trial: Trial, metrics: Mapping[str, float]) -> str:
    return _LOST if trial.state == "finished" and not metrics else ""


def _last(history: History) -> dict[str, float]:
    merged: dict[str, float] = {}
    for row in history:
        merged |= row
    return {key: value for key, value in merged.items() if key not in _NO_METRICS}


def _replace(path: Path, text: str) -> None:
    files.write(path, text)
