"""A trained run as `evaluate.py` finds it: its folder, its defense and its data."""

import copy
import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from robust.checkpoints import description_of, notes_of, read_checkpoint
from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.errors import ConfigError, nearest
from robust.evaluation import AttackEvaluation
from robust.io.labels import label_of, seed_of
from robust.io.names import file_name, printable
from robust.io.notes import note
from robust.loading.changes import argument_of, changed_model
from robust.loading.moved import update
from robust.loading.other_data import are_other, notes_on
from robust.loading.restore import restore
from robust.measures.measurements import Measurement
from robust.results.records import Evaluation
from robust.results.run_folder import BEST, LAST, find_checkpoint
from robust.tracking import SCHEME, LateLoggers, Run, Tracker, fetch_run
from robust.tracking.trainers import run_test, trainer_of


@dataclass(frozen=True)
class TrainedRun:
    """A trained run has a defense with its weights, its data, and what both were built from.

    Args:
        run: Its name and folder; None for a checkpoint outside a run's folder.
        path: Its checkpoint.
        defense: What was trained.
        data: What it is attacked on, which is what it was trained on unless others were asked for.
        notes: What a reader of its numbers has to know of its weights.
        described: ``model`` and ``data`` that it was built from, each a class path with arguments.
        epochs: For how many it was trained; None if its checkpoint does not say.
        elsewhere: Whether ``data`` are others than it was trained on.
    """

    run: Run | None
    path: Path
    defense: Defense
    data: ImageDataModule
    notes: tuple[str, ...]
    described: Mapping[str, Any]
    epochs: int | None
    elsewhere: bool = False

    @staticmethod
    def load(
        path: Path,
        changed: Mapping[str, Any] | None = None,
        data: ImageDataModule | None = None,
    ) -> "TrainedRun":
        """Read a run folder, a checkpoint, or a run on a W&B server (``wandb:entity/project/run``).

        Args:
            path: The run.
            changed: As `robust.loading.restore.restore` takes it.
            data: Images to attack it on; those that it was trained on if None.

        Raises:
            ConfigError: If it is none of these, or its network does not take the images.
        """
        named = str(path)
        if named.startswith(SCHEME):
            path = fetch_run(named.removeprefix(SCHEME))
        checkpoint = find_checkpoint(path)
        run, content = Run.from_checkpoint(checkpoint), read_checkpoint(checkpoint)
        notes, epochs = tuple(notes_of(content)), trained_epochs(checkpoint, content)
        described = copy.deepcopy(description_of(content, checkpoint))  # restoring changes it
        restored = restore(checkpoint, changed, content, data)
        described = _with_changes(described, changed or {})
        found = TrainedRun(run, checkpoint, *restored, notes, described, epochs)
        return found if data is None else found.on(data)

    def on(self, data: ImageDataModule) -> "TrainedRun":
        """Return this run on other images, which its notes say.

        Raises:
            ConfigError: If its network does not take them, or they have other classes.
        """
        described = self.described["data"]
        if not are_other(data, described):
            return self
        own = self.data if self.data is not data else None
        named = str(described.get("init_args", {}).get("dataset", "other images"))
        trained_on = named if own is None else own.name
        notes = notes_on(self.defense, data, own, trained_on)
        return replace(self, data=data, notes=(*self.notes, *notes), elsewhere=True)

    @property
    def name(self) -> str:
        """``name/id`` of the run; the file without one."""
        return f"{self.run.name}/{self.run.id}" if self.run is not None else printable(self.path)

    @property
    def folder(self) -> Path:
        """Where records and figures go: the run's folder, or the checkpoint's."""
        return self.run.folder if self.run is not None else self.path.parent

    @property
    def figures(self) -> Path:
        """Where figures go; those on other images than its own have a folder below."""
        figures = self.folder / "figures"
        return figures / file_name(self.data.name) if self.elsewhere else figures

    def evaluate(self, evaluation: AttackEvaluation, **trainer: Any) -> Evaluation:  # noqa: ANN401
        """Attack the run with a suite, and keep the records in its folder.

        Args:
            evaluation: The suite with its settings; its folder of records and its notes are those
                of this run.
            trainer: As `test` takes them.

        Raises:
            ConfigError: If run and suite do not fit, or the trainer cannot be had.
        """
        own = evaluation.replaced(records=str(self.folder / "records"), notes=self.notes)
        self.test(own, own.suite.name, **trainer)
        assert own.evaluated is not None
        return own.evaluated

    def test(
        self,
        callback: AttackEvaluation | Measurement[Any],
        what: str,
        **trainer: Any,  # noqa: ANN401
    ) -> None:
        """Run a test of the run, at whose end something is attacked or measured.

        Args:
            callback: It does that, and keeps the result.
            what: In the name of the W&B run.
            trainer: As `robust.tracking.trainers.trainer_of` takes them.

        Raises:
            ConfigError: If run and callback do not fit, or the trainer cannot be had.
        """
        own = [] if "logger" in trainer else [LateLoggers(self.loggers(what))]
        made = trainer_of(self.folder, [*own, callback], **trainer)
        run_test(made, self.defense, self.data, callback)

    def loggers(self, what: str) -> list[Logger]:
        """A W&B run of this evaluation in the group of the training; none without a run.

        An evaluation on other images than those of the training is a run of its own.
        """
        if self.run is None:
            return []
        if self.elsewhere:
            what = f"{what}-on-{self.data.name}"
        if not os.access(self.run.folder, os.W_OK):
            # W&B itself would record it in a temporary folder, where nobody looks.
            if os.environ.get("WANDB_MODE") != "disabled":
                note(f"{self.run.folder} cannot be written, so W&B gets nothing of this.")
            return []
        assert self.run.name is not None
        config = {**self.described, "seed_everything": seed_of(self.run.folder)}
        return [Tracker(self.run, what, label_of(self.run.name, config))]


def by_name(trained_runs: Sequence[TrainedRun]) -> dict[str, TrainedRun]:
    """Return runs by their names; of several with one name, the file tells them apart."""
    files: dict[str, set[Path]] = {}
    for trained_run in trained_runs:
        files.setdefault(trained_run.name, set()).add(trained_run.path.absolute())

    def label(trained_run: TrainedRun) -> str:
        others = files[trained_run.name]
        if len(others) == 1:
            return trained_run.name
        in_one_folder = len({path.parent for path in others}) == 1
        return (
            f"{trained_run.name}/{trained_run.path.name}"
            if in_one_folder
            else printable(trained_run.path)
        )

    return {label(trained_run): trained_run for trained_run in trained_runs}


def describe(checkpoint: Path, changed: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint is of: ``model`` and ``data``, each a class path with plain arguments.

    Args:
        checkpoint: One that `robust.loading.restore.restore` has read.
        changed: Arguments that the defense got instead of its own, if it has such arguments.
    """
    return _with_changes(description_of(read_checkpoint(checkpoint), checkpoint), changed)


def _with_changes(description: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = update(description)
    return {**described, "model": changed_model(described["model"], changed)}


def check_used(changed: Mapping[str, Any], trained_runs: Sequence[TrainedRun]) -> None:
    """Raise if an argument is one of none of the defenses.

    Raises:
        ConfigError: With the arguments that there are.
    """
    kinds = sorted({type(run.defense) for run in trained_runs}, key=lambda kind: kind.__name__)
    known = {name for kind in kinds for name in inspect.signature(kind).parameters}
    for key in sorted(key for key in changed if argument_of(key) not in known):
        raise ConfigError(
            f"Expected an argument of {' or '.join(kind.__name__ for kind in kinds)} "
            f"({', '.join(sorted(known))}), but got --model.{key}."
            f"{nearest(f'--model.{argument_of(key)}', [f'--model.{name}' for name in known])}"
        )


def trained_epochs(checkpoint: Path, content: Mapping[str, Any] | None = None) -> int | None:
    """Return for how many epochs a network was trained; None if its checkpoint does not say.

    Of the best of a run, these are the epochs until the run's last checkpoint.

    Args:
        checkpoint: Its file.
        content: What it holds; read if None.

    Raises:
        ConfigError: If a checkpoint cannot be read.
    """
    last = checkpoint.with_name(LAST)
    if checkpoint.name == BEST and last.is_file():
        content = read_checkpoint(last)
    elif content is None:
        content = read_checkpoint(checkpoint)
    try:
        progress = content["loops"]["fit_loop"]["epoch_progress"]["current"]
        return int(progress["processed"])
    except (KeyError, TypeError, ValueError):
        return None
