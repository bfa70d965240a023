"""A trained run as Python has it: its network, its data, and what a suite finds of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from robust.commands.python.answers import answered, as_list, trainer_arguments
from robust.commands.python.runs import Asked, Budget, running, tested_images
from robust.data import ImageDataModule
from robust.data.python_data import AnyData
from robust.defenses import Defense
from robust.evaluation.evidence.level import level_of
from robust.loading.suites import AnySuite
from robust.loading.trained_run import TrainedRun
from robust.results.result import Result
from robust.types import Norm, View
from robust.vocabulary import AskedEvidence


@dataclass(frozen=True)
class LoadedRun:
    """A loaded run has a trained network with its weights, and its data.

    It has a ``name``, which is ``name/id`` or the checkpoint, and ``notes``: what a reader of its
    numbers has to know of its weights.

    Examples:
        >>> data = robust.ImageDataModule("digits")
        >>> _ = robust.fit(robust.Standard(robust.MLP()), data, max_epochs=1, save="runs/mlp/a")
        >>> run = robust.load("runs/mlp/a")
        >>> run.evaluate("quick", limit=10, attacks=["fgsm"]).views
        ['deployed', 'adaptive']

    Args:
        trained_run: What the command evaluates, too.
    """

    trained_run: TrainedRun

    @property
    def name(self) -> str:
        """``name/id`` of the run, or the checkpoint without one."""
        return self.trained_run.name

    @property
    def folder(self) -> Path:
        """Where its records are kept."""
        return self.trained_run.folder

    @property
    def network(self) -> Defense:
        """What was trained."""
        return self.trained_run.defense

    @property
    def data(self) -> ImageDataModule:
        """What it was trained on."""
        return self.trained_run.data

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its numbers has to know of its weights."""
        return self.trained_run.notes

    @answered(skip=("data",), others=trainer_arguments)
    def evaluate(
        self,
        suite: AnySuite = "quick",
        data: AnyData | None = None,
        *,
        limit: int | None = None,
        views: View | Sequence[View] | None = None,
        attacks: str | Sequence[str] | None = None,
        eps: float | None = None,
        norm: Norm | None = None,
        view_from: Literal["auto"] | None = None,
        evidence: AskedEvidence | None = None,
        progress: bool = True,
        **trainer: Any,  # noqa: ANN401
    ) -> Result:
        """Attack the run as `robust.evaluate` does, and keep its records as the command does.

        What is on record is not attacked again. Arguments are those of `robust.evaluate`. On other
        data than its own the labels count by their numbers.

        Raises:
            ConfigError: If suite or data cannot be used, or the folder cannot be written.
        """
        asked = Asked.of(
            suite, as_list(attacks), Budget(eps, norm), limit=limit, views=as_list(views)
        )
        run = self.trained_run
        if data is not None:
            run = run.on(tested_images(data, asked.evaluation.suite.limit))
        with running(run.defense, run.data) as folder:
            quiet = {"logger": False, "progress": progress, "default_root_dir": folder}
            level = level_of(evidence or asked.evaluation.evidence)
            evaluation = asked.evaluation.replaced(search=view_from is not None, evidence=level)
            tested = run.evaluate(evaluation, **{**quiet, **trainer})
        return Result(run.name, tested, run.data.num_classes, asked.at)
