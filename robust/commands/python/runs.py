"""Trainings and tests that Python asks for: quiet, without a run folder, logger or account."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from robust.checkpoints import DESCRIPTION
from robust.commands.process import own_console, quiet_lightning
from robust.commands.python.answers import checked
from robust.data import ImageDataModule
from robust.data.python_data import AnyData, module_of
from robust.defenses import Defense
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.budget import within
from robust.io import files
from robust.io.notes import note
from robust.io.radius import with_radius
from robust.io.text_files import named_path
from robust.io.version import package_version
from robust.io.yaml_writing import dump
from robust.loading.suites import AnySuite, evaluation_of_suite
from robust.networks.descriptions import description
from robust.precision import keep_float32
from robust.results.records import Evaluation
from robust.results.run_folder import LAST
from robust.threat import OpenThreatModel
from robust.tracking.failures import failures_told
from robust.tracking.trainers import run_test, trainer_of
from robust.types import Norm


class DescribedRun(Callback):
    """A described run is a folder with a checkpoint that describes itself, and a config.

    Args:
        folder: A new folder, such as ``runs/mine/a``.
        defense: What is trained.
        data: What it is trained on.
        max_epochs: Number of epochs, for the config.

    Raises:
        ConfigError: If the folder has a run already, or something in ``defense`` or ``data`` cannot
            be described.
    """

    def __init__(
        self, folder: str | Path, defense: Defense, data: ImageDataModule, max_epochs: int
    ) -> None:
        self._parts = {"model": description(defense), "data": description(data)}
        self._config = {**self._parts, "trainer": {"max_epochs": max_epochs}}
        self._folder = named_path(folder)
        self._checkpoint = self._folder / "checkpoints" / LAST
        if self._checkpoint.exists():
            raise ConfigError(
                f"Expected a new folder to save in, but {self._folder} has a run. Name another."
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the folder, once all is checked and before anything is trained.

        Raises:
            ConfigError: If it cannot be made.
        """
        try:
            self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"Expected a folder that can be written, but got {self._folder} "
                f"({error.strerror}). Choose another."
            ) from None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Make the checkpoint describe itself."""
        checkpoint[DESCRIPTION] = {**self._parts, "version": package_version()}

    def write(self, trainer: Trainer) -> None:
        """Write the checkpoint and ``config.yaml``."""
        trainer.save_checkpoint(self._checkpoint)
        files.write(self._folder / "config.yaml", dump(self._config))


def train(
    defense: Defense,
    data: ImageDataModule,
    run: DescribedRun | None,
    progress: bool,
    settings: Mapping[str, Any],
) -> None:
    """Train a defense, and write what a run is to keep.

    Args:
        defense: What to train.
        data: What to train it on.
        run: Where to write it; nowhere if None.
        progress: Whether to show a progress bar.
        settings: Arguments of the trainer.

    Raises:
        ConfigError: If they do not fit, or the trainer cannot be had.
    """
    callbacks = [] if run is None else [run]
    with running(defense, data) as folder:
        trainer = trainer_of(folder, callbacks, progress=progress, **settings)
        defense.train()  # Lightning leaves the modes of an earlier evaluation
        with failures_told(trainer, defense):
            trainer.fit(defense, datamodule=data)
        if run is not None:
            run.write(trainer)


def test(
    defense: Defense,
    data: ImageDataModule,
    evaluation: AttackEvaluation,
    progress: bool,
    settings: Mapping[str, Any],
) -> Evaluation:
    """Return what a suite finds, in a test of Lightning's as the command makes one.

    Args:
        defense: What to attack.
        data: Whose images to attack.
        evaluation: The suite.
        progress: Whether to show a progress bar.
        settings: Arguments of the trainer.

    Raises:
        ConfigError: If they do not fit, or the trainer cannot be had.
    """
    with running(defense, data) as folder:
        trainer = trainer_of(folder, [evaluation], progress=progress, **settings)
        run_test(trainer, defense, data, evaluation)
    assert evaluation.evaluated is not None
    return evaluation.evaluated


class Budget(NamedTuple):
    """A budget replaces the eps or the norm of a suite, where it has one."""

    eps: float | None
    norm: Norm | None

    def checked(self) -> "Budget":
        """Return the budget with its eps as a float.

        Raises:
            ConfigError: If it is not a number.
        """
        return self if self.eps is None else self._replace(eps=number_of(self.eps))


@dataclass(frozen=True)
class Asked:
    """What Python asks for is an evaluation, and what the title of its table says of a new eps."""

    evaluation: AttackEvaluation
    at: str

    @staticmethod
    def of(
        suite: AnySuite,
        attacks: Sequence[str] | None,
        budget: Budget,
        **settings: Any,  # noqa: ANN401
    ) -> "Asked":
        """Return the evaluation of a suite, within another threat model if one is given.

        Args:
            suite: As `evaluation_of_suite` takes it.
            attacks: Which of its attacks to keep; all if None.
            budget: Another eps or norm.
            settings: Others of the suite; those that are None stay.

        Raises:
            ConfigError: If there is no such suite, or no attack has that threat model.
        """
        given = {key: value for key, value in settings.items() if value is not None}
        evaluation = evaluation_of_suite(suite, attacks, **given)
        changed = within(evaluation.suite, *budget.checked())
        for text in changed.notes:
            note(text)
        model = changed.suite.threat_model
        is_known = budget.eps is not None or not isinstance(model, OpenThreatModel)
        is_said = is_known and any(value is not None for value in budget)
        at = f" at {with_radius(str(model))}" if is_said else ""
        return Asked(evaluation.replaced(suite=changed.suite), at)


def number_of(eps: object) -> float:
    """Return an eps as a float.

    Raises:
        ConfigError: If it is not a number.
    """
    if isinstance(eps, bool) or not isinstance(eps, int | float):
        raise ConfigError(f"Expected `eps` to be a number such as 8 / 255, but got {eps!r}.")
    return float(eps)


def tested_images(data: AnyData, limit: int | None) -> ImageDataModule:
    """Return the data module of what a caller has attacked.

    Args:
        data: A data module, or what `module_of` takes.
        limit: Number of images that count; all if None.

    Raises:
        ConfigError: If it is of another kind.
    """
    example = "an ImageDataModule or images and labels"
    module: ImageDataModule = checked(module_of(data, limit), ImageDataModule, "data", example)
    return module


@contextlib.contextmanager
def running(defense: Defense, data: ImageDataModule) -> Iterator[str]:
    """A folder that is gone afterwards; then both know no trainer, and can be copied.

    Args:
        defense: What is trained or attacked.
        data: On which images.
    """
    with tempfile.TemporaryDirectory() as folder, quiet_lightning(), own_console(), _float32():
        try:
            yield folder
        finally:
            defense.trainer = None
            data.trainer = None


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    """GPUs convolve as `keep_float32` says, then as before."""
    earlier = torch.backends.cudnn.allow_tf32
    keep_float32()
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = earlier
