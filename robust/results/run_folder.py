"""Runs are read from their folders: config, metrics, records and figures, none of them required.

Nothing is built and no checkpoint is opened. So a folder that a training is just writing is shown
with what it has, and a damaged one too.
"""

import contextlib
import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from robust.errors import ConfigError
from robust.io.names import printable
from robust.io.strict_yaml import read
from robust.results.metrics_csv import read_sessions
from robust.results.records import Evaluation, UnreadableRecords, read_evaluation

BEST, LAST = "best.ckpt", "last.ckpt"
"""Names of checkpoints in the folder of a run, in the order in which evaluations prefer them."""
_MARKS = ("config.yaml", "metrics.csv", "checkpoints", "records")
"""A folder that contains one of these is a run."""
_MOST_METRICS = 200
_USUAL = ("train/loss", "val/loss", "val/clean_acc", "test/clean_acc")
"""Metrics that are shown however many there are."""
_PART = re.compile(r"\.part\d+\.csv$")


class Point(NamedTuple):
    """A logged value."""

    step: int
    value: float


@dataclass(frozen=True)
class RunFiles:
    """The content of the folder of a run.

    Args:
        folder: The folder.
        name: Its path below the folder that was searched, such as ``mnist/codewords/seed0``.
        config: Content of ``config.yaml``; empty without one.
        metrics: Logged values by name, in the order of their steps, over all sessions of the run.
        epoch: The last epoch that was logged, from 0; -1 without one.
        evaluations: Records by the file that they are in, newest last.
        figures: PNG files in ``figures/``.
        missing: What is missing from a finished run, as sentences.
    """

    folder: Path
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, list[Point]] = field(default_factory=dict)
    epoch: int = -1
    evaluations: dict[Path, Evaluation] = field(default_factory=dict)
    figures: Sequence[Path] = ()
    missing: Sequence[str] = ()

    @property
    def defense(self) -> str:
        """The class of the defense, without its module; ``?`` if no config says."""
        return str(self.setting("model.class_path", "?")).rpartition(".")[2]

    @property
    def data(self) -> str:
        """The name of the data set; ``?`` if neither records nor config say."""
        dataset = str(self.setting("data.init_args.dataset", "?"))
        own = {dataset, Path(dataset.rpartition(":")[2]).stem}
        names = [evaluation.header.data for evaluation in self.evaluations.values()]
        return next((name for name in names if name in own), next(iter(names), dataset))

    @property
    def training(self) -> str:
        """The progress of the training, such as ``3 of 20 epochs``."""
        total = self.setting("trainer.max_epochs", None)
        if not isinstance(total, int) or isinstance(total, bool):
            return f"{self.epoch + 1} epochs" if self.epoch >= 0 else "unknown"
        return f"{min(self.epoch + 1, total)} of {total} epochs"

    def setting(self, key: str, default: Any) -> Any:  # noqa: ANN401
        """Return the value of a dotted key of the config."""
        value: Any = self.config
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                return default
            value = value[part]
        return value

    def last(self, metric: str) -> float:
        """Return the newest value of a metric; NaN without one."""
        points = self.metrics.get(metric)
        return points[-1].value if points else math.nan


class Reader:
    """A reader reads runs, and a record file again only if it changed, for ``--watch``."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], Evaluation]] = {}

    def read(self, roots: Sequence[Path]) -> list[RunFiles]:
        """Return all runs in and below some folders, by name.

        Raises:
            ConfigError: If a folder does not exist, or none holds a run.
        """
        runs = {run.folder: run for root in roots for run in self._below(root)}
        if not runs:
            raise ConfigError(
                f"Expected runs in {', '.join(map(str, roots))}, but found none: no folder there "
                f"has a {' or '.join(_MARKS)}. Train one first."
            )
        return sorted(runs.values(), key=lambda run: run.name)

    def _below(self, root: Path) -> Iterator[RunFiles]:
        for folder in run_folders(root):
            name = os.path.relpath(folder, root)
            resolved = folder.resolve()
            if name == ".":
                name = f"{resolved.parent.name}/{resolved.name}"
            yield self._run(resolved, name)

    def _run(self, folder: Path, name: str) -> RunFiles:
        missing: list[str] = []
        evaluations = self._evaluations(folder, missing)
        config = _config(folder, missing)
        metrics, epoch = _metrics(folder, missing)
        if not _files(folder, "checkpoints/*.ckpt", missing):
            missing.append("no checkpoint yet")
        figures = _files(folder, "figures/*.png", missing)
        figures += _files(folder, "figures/*/*.png", missing)
        return RunFiles(
            folder, printable(name), config, metrics, epoch, evaluations, figures, missing
        )

    def _evaluations(self, folder: Path, missing: list[str]) -> dict[Path, Evaluation]:
        found: dict[Path, Evaluation] = {}
        paths = _files(folder, "records/*.csv", missing)
        for path in sorted(paths, key=_modified):
            if _PART.search(path.name):
                missing.append(f"{path.name}: an evaluation that has not ended")
                continue
            if path.name.endswith(".damaged.csv"):
                missing.append(f"{path.name}: damaged records that were set aside")
                continue
            try:
                evaluation = self._evaluation(path)
            except UnreadableRecords as error:
                missing.append(f"{path.name}: cannot be read ({error.reason})")
                continue
            missing += [f"{path.name}: {note}" for note in evaluation.notes]
            if evaluation.rows:
                found[path] = evaluation
            else:
                missing.append(f"{path.name}: no rows")
        if not paths:
            missing.append("not attacked yet")
        return found

    def _evaluation(self, path: Path) -> Evaluation:
        stamp = _modified(path)
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            known = self._known[path] = stamp, read_evaluation(path)
        return known[1]


def run_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of runs in and below one, in the order of their names.

    Raises:
        ConfigError: If the folder does not exist.
    """
    if not os.path.isdir(root):  # which is false of a name that no folder can have
        shown = printable(root)
        raise ConfigError(f"Expected a folder of runs, but got {shown:.200}. Name one that exists.")
    for path, folders, files in os.walk(root):
        folders.sort()
        if any(mark in folders or mark in files for mark in _MARKS):
            folders.clear()
            yield Path(path)


def _modified(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # a part that was merged since
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _files(folder: Path, pattern: str, missing: list[str]) -> list[Path]:
    """Return the files that match; anything else that matches, such as a pipe, is missing."""
    found = []
    for path in sorted(folder.glob(pattern)):
        try:
            is_file = stat.S_ISREG(path.stat().st_mode)
        except OSError:  # a part that was merged since, or a link to nothing
            is_file = False
        if is_file:
            found.append(path)
        elif os.path.lexists(path):
            missing.append(f"{path.name}: no file")
    return found


def _config(folder: Path, missing: list[str]) -> dict[str, Any]:
    path = folder / "config.yaml"
    if not path.is_file():
        missing.append("config.yaml: no file" if os.path.lexists(path) else "no config.yaml")
        return {}
    try:
        content = read(path)
    except ConfigError:
        content = None
    if isinstance(content, dict):
        return {str(key): value for key, value in content.items()}
    missing.append("config.yaml: cannot be read")
    return {}


def _metrics(folder: Path, missing: list[str]) -> tuple[dict[str, list[Point]], int]:
    """Return values of all sessions by metric, and the last epoch of the training."""
    metrics: dict[str, list[Point]] = {}
    epoch = -1
    rows, faults = read_sessions(folder)
    missing += faults
    for row in rows:
        step, last = row.pop("step"), row.pop("epoch", -1)
        if not (math.isfinite(step) and math.isfinite(last)):
            continue
        for key, value in row.items():
            if math.isfinite(value):
                metrics.setdefault(key, []).append(Point(int(step), value))
        if _is_of_training(tuple(row)):
            epoch = max(epoch, int(last))
    if len(metrics) > _MOST_METRICS:
        missing.append(f"{len(metrics)} metrics, of which {_MOST_METRICS} are shown")
        first = sorted(metrics, key=lambda key: (key not in _USUAL, key))[:_MOST_METRICS]
        metrics = {key: metrics[key] for key in first}
    return metrics, epoch


@cache
def _is_of_training(names: tuple[str, ...]) -> bool:
    """Whether a row of such metrics was logged by a training."""
    return any(name.startswith("train/") for name in names)


def find_checkpoint(path: Path) -> Path:
    """The checkpoint of a run folder, the best if it keeps that, or the checkpoint itself.

    Raises:
        ConfigError: If there is none, with the runs that a folder of runs holds.
    """
    if not path.is_dir():
        return path
    for name in (BEST, LAST):
        if (path / "checkpoints" / name).is_file():
            return path / "checkpoints" / name
    raise ConfigError(
        f"Expected a run in {path}, but it has no checkpoints/{LAST}. {_what_else(path)}"
    )


def _what_else(folder: Path) -> str:
    """Return what to do with a folder without a checkpoint."""
    found: list[str] = []
    with contextlib.suppress(OSError):  # of folders that may not be read, or vanish meanwhile
        for below in ("*", "*/*", "*/*/*"):  # not all of a disk
            found += (str(p.parent.parent) for p in folder.glob(f"{below}/checkpoints/{LAST}"))
    if found:
        return f"Name one of its runs: {', '.join(sorted(found)[:5])}."
    if (folder / "records").is_dir():
        return f"It has records alone; `robust report {folder}` shows them."
    if (folder / "config.json").is_file():
        return f"Name hf:{folder} if Hugging Face's transformers wrote it."
    return "Train one first."
