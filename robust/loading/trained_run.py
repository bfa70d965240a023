"""A trained run as `evaluate.py` finds it: its folder, its defense and its data."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch.loggers import Logger

from robust.checkpoints import description_of, notes_of, read_checkpoint
from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.errors import ConfigError
from robust.loading.moved import update
from robust.loading.restore import arguments_of, restore
from robust.tracking import BEST, LAST, SCHEME, Run, Tracker, fetch_run


class TrainedRun(NamedTuple):
    """A trained run to evaluate."""

    run: Run | None
    """None for a checkpoint outside a run's folder."""
    path: Path
    defense: Defense
    data: ImageDataModule
    notes: tuple[str, ...] = ()
    """What a reader of its numbers has to know of its weights."""

    @staticmethod
    def load(path: Path, changed: Mapping[str, Any] | None = None) -> "TrainedRun":
        """Read a run folder, a checkpoint, or a run on a W&B server (``wandb:entity/project/run``).

        ``changed`` is as `robust.loading.restore.restore` takes it.

        Raises:
            ConfigError: If it is none of these.
        """
        named = str(path)
        if named.startswith(SCHEME):
            path = fetch_run(named.removeprefix(SCHEME))
        checkpoint = find_checkpoint(path)
        run, content = Run.from_checkpoint(checkpoint), read_checkpoint(checkpoint)
        notes = tuple(notes_of(content))
        return TrainedRun(run, checkpoint, *restore(checkpoint, changed, content), notes)

    @property
    def name(self) -> str:
        """``name/id`` of the run; the file without one."""
        return f"{self.run.name}/{self.run.id}" if self.run is not None else str(self.path)

    @property
    def folder(self) -> Path:
        """Where records and figures go: the run's folder, or the checkpoint's."""
        return self.run.folder if self.run is not None else self.path.parent

    def loggers(self, what: str) -> list[Logger]:
        """A W&B run of this evaluation in the group of the training; none without a run."""
        if self.run is None:
            return []
        run = replace(self.run, group=self.run.group or self.run.name)
        return [Tracker(run, job_type=f"evaluate-{what}")]


def by_name(subjects: Sequence[TrainedRun]) -> dict[str, TrainedRun]:
    """Runs by their names; where several nets have one, the file tells them apart, or its path."""
    files: dict[str, set[Path]] = {}
    for subject in subjects:
        files.setdefault(subject.name, set()).add(subject.path.absolute())

    def label(subject: TrainedRun) -> str:
        others = files[subject.name]
        if len(others) == 1:
            return subject.name
        in_one_folder = len({path.parent for path in others}) == 1
        return f"{subject.name}/{subject.path.name}" if in_one_folder else str(subject.path)

    return {label(subject): subject for subject in subjects}


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
    found = sorted(str(p.parent.parent) for p in path.glob(f"**/checkpoints/{LAST}"))
    hint = f"Name one of its runs: {', '.join(found[:5])}." if found else "Train one first."
    raise ConfigError(f"Expected a run in {path}, but it has no checkpoints/{LAST}. {hint}")


def describe(checkpoint: Path, changed: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint is of: ``model`` and ``data``, each a class path with plain arguments.

    Args:
        checkpoint: One that `robust.loading.restore.restore` has read.
        changed: Arguments that the defense got instead of its own, if it has such arguments.
    """
    described: dict[str, Any] = update(description_of(read_checkpoint(checkpoint), checkpoint))
    model = described["model"]
    accepted = arguments_of(model["class_path"])
    model["init_args"] |= {key: value for key, value in changed.items() if key in accepted}
    return described


def check_used(changed: Mapping[str, Any], subjects: Sequence[TrainedRun]) -> None:
    """Raise if an argument is one of none of the defenses.

    Raises:
        ConfigError: With the arguments that there are.
    """
    kinds = sorted({type(subject.defense) for subject in subjects}, key=lambda kind: kind.__name__)
    known = {name for kind in kinds for name in inspect.signature(kind).parameters}
    for key in sorted(set(changed) - known):
        raise ConfigError(
            f"Expected an argument of {' or '.join(kind.__name__ for kind in kinds)} "
            f"({', '.join(sorted(known))}), but got --model.{key}."
        )


def trained_epochs(checkpoint: Path) -> int | None:
    """How many epochs a net was trained; None if its checkpoint does not say.

    Of the best of a run, as many as the run was trained until its last checkpoint.

    Raises:
        ConfigError: If a checkpoint cannot be read.
    """
    last = checkpoint.with_name(LAST)
    counted = last if checkpoint.name == BEST and last.is_file() else checkpoint
    content = read_checkpoint(counted)
    try:
        progress = content["loops"]["fit_loop"]["epoch_progress"]["current"]
        return int(progress["processed"])
    except (KeyError, TypeError, ValueError):
        return None
