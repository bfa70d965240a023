"""A run has a folder and keeps its config there."""

import contextlib
import itertools
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, WandbLogger

from robust.checkpoints import DESCRIPTION, furthest_checkpoint
from robust.errors import ConfigError
from robust.io import files
from robust.io.names import check_name
from robust.io.strict_yaml import load
from robust.io.text_files import expanded
from robust.io.version import package_version
from robust.results.run_folder import BEST
from robust.tracking import run_lock
from robust.tracking.overview.registry import check_collection

_RUN_ID = "ROBUST_RUN_ID"
_LONGEST_TAG = 64
_NOT_IN_IDS = "/\\:;,#?'"
_FOLDERS = ("checkpoints", "records", "figures", "wandb")
"""Folders that a run writes in its folder."""


@dataclass(frozen=True)
class Run:
    """One training or evaluation, with its folder ``root/name/id``.

    Args:
        name: What the run is about; default: the stem of the config file. Its name in W&B begins
            with it: ``squeezed T=20 mnist s0``.
        id: Tells runs of one name apart, also in W&B. Default: ``WANDB_RUN_ID`` if set, else the
            time. With the former, processes of torchrun or srun agree on one folder.
        root: Folder of all runs.
        project: W&B project.
        group: W&B group, such as the table that a run belongs to. Default: its name in W&B without
            the seed, so that runs that differ in nothing else are a group.
        tags: W&B tags; those of the verdict are added.
        summary: ``short`` leaves at most 25 keys in the summary of W&B, and all numbers of a test
            in the table ``test/all``. ``all`` leaves all in the summary.
        register: Collection of W&B's registry that links the trained run: ``NAME`` of the registry
            ``model``, or ``REGISTRY/NAME``.
        resume: ``auto`` goes on from the furthest checkpoint in the folder, if there is one. It
            precedes another run's (``--ckpt_path``), and the run needs an id.

    Raises:
        ConfigError: If a name cannot be printed or is too long, ``name`` or ``id`` cannot be a
            folder, or W&B forbids ``id``, ``project`` or ``register``.
    """

    name: str | None = None
    id: str | None = None
    root: str = "runs"
    project: str = "robust-defenses"
    group: str | None = None
    tags: list[str] | None = None
    resume: Literal["never", "auto"] = "never"
    summary: Literal["short", "all"] = "short"
    register: str | None = None

    def __post_init__(self) -> None:
        _check("name", self.name, forbidden="/\\")
        _check("id", self.id, forbidden=_NOT_IN_IDS)
        _check("project", self.project, forbidden="/\\#?%:")
        if self.register is not None:
            check_collection(self.register)
        for name in (*([] if self.group is None else [self.group]), *(self.tags or [])):
            check_name("`run.group` and each of `run.tags`", name)
        for tag in self.tags or []:
            if len(tag) > _LONGEST_TAG:
                raise ConfigError(
                    f"Expected at most {_LONGEST_TAG} characters in each of `run.tags`, which W&B "
                    f"allows, but got {len(tag)}."
                )

    @staticmethod
    def from_checkpoint(path: str | Path) -> "Run | None":
        """Return the run of ``<root>/<name>/<id>/checkpoints/<file>.ckpt``; None for other paths.

        Only ``name``, ``id`` and ``root`` are known from the path.
        """
        path = Path(os.path.abspath(path))
        folder = path.parent.parent
        root = folder.parent.parent
        if path.suffix != ".ckpt" or path.parent.name != "checkpoints" or not folder.parent.name:
            return None
        if root.is_relative_to(Path.cwd()):
            root = root.relative_to(Path.cwd())
        try:
            return Run(name=folder.parent.name, id=folder.name, root=str(root))
        except ConfigError:
            return None

    def settled(self, default_name: str) -> "Run":
        """Return this run with ``name`` and ``id`` filled in.

        The id is the given one, else ``WANDB_RUN_ID``, else new. Processes that Lightning starts
        inherit it through ``ROBUST_RUN_ID``. The first process never reads that. So two runs in
        one process, or in a command that it starts, share no folder by accident.

        Raises:
            ConfigError: If this process is one of many and none told it their common id, or
                ``WANDB_RUN_ID`` is no id.
        """
        # W&B itself looks at the variable, also where another id is given.
        _check("id", os.environ.get("WANDB_RUN_ID") or None, _NOT_IN_IDS, "WANDB_RUN_ID")
        run_id = self.id or os.environ.get("WANDB_RUN_ID")
        if not run_id and _is_first_process():
            run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        run_id = run_id or os.environ.get(_RUN_ID)
        if not run_id:
            raise ConfigError(
                "Expected an id that all processes of this run share, but got none. Give one with "
                "--run.id, or set WANDB_RUN_ID before torchrun or srun."
            )
        settled = replace(self, name=self.name or default_name, id=run_id)
        os.environ[_RUN_ID] = run_id
        return settled

    @property
    def folder(self) -> Path:
        """``root/name/id`` of a settled run."""
        assert self.name is not None, "call `settled` first"
        assert self.id is not None, "call `settled` first"
        return expanded(self.root) / self.name / self.id

    def missing_folders(self) -> list[Path]:
        """Return the folders of ``root/name/id`` that do not exist yet, the innermost first."""
        folders = (self.folder, self.folder.parent, self.folder.parent.parent)
        return [folder for folder in folders if not folder.exists()]

    @property
    def has_id(self) -> bool:
        """Whether its id is known before it begins."""
        return bool(self.id or os.environ.get("WANDB_RUN_ID"))

    def checkpoint(self, default_name: str) -> Path | None:
        """Return the checkpoint that ``resume: auto`` goes on from; None if there is none yet.

        Raises:
            ConfigError: If the run has no id, without which its folder cannot be found again.
        """
        if not self.has_id:
            raise ConfigError(
                "Expected an id of the run to resume, but got none. Give one with --run.id, or set "
                "WANDB_RUN_ID."
            )
        return furthest_checkpoint(self.settled(default_name).folder)

    def prepare(self) -> None:
        """Make the folder, and set aside the ``metrics.csv`` of an earlier session in it.

        Lightning's CSVLogger would delete that file. It becomes ``metrics.1.csv``, and so on.

        Raises:
            ConfigError: If the folder cannot be written, a folder in it is a symbolic link, or
                another process trains in it.
        """
        if not _is_first_process():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in _FOLDERS:
                files.check_own_folder(self.folder / name)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
            run_lock.hold(self.folder)
            _set_aside(self.folder / "metrics.csv")
        except OSError as error:
            raise ConfigError(
                f"Expected a run folder that can be written, but got {self.folder} "
                f"({error.strerror}): choose another with --run.root."
            ) from None

    def set_checkpoints_aside(self, going_on: str | None, *, best: bool) -> None:
        """Rename checkpoints of an earlier training in this folder.

        Its folder ``checkpoints`` becomes ``checkpoints.1``, and so on, unless this training goes
        on from one of them. Otherwise an evaluation or ``resume: auto`` would use them.

        Args:
            going_on: Checkpoint that the training goes on from.
            best: Whether it keeps a best network, too; if not, the earlier best is renamed.
        """
        kept = self.folder / "checkpoints"
        if not kept.is_dir():
            return
        if going_on is None or not Path(going_on).parent.samefile(kept):
            _set_aside(kept)
        elif not best:
            _set_aside(kept / BEST)


class SaveRunConfig(SaveConfigCallback):
    """Keeps the complete config with a run: as a file, in W&B, and in its checkpoints.

    The file is ``config.yaml`` in the run's folder for ``fit`` and ``config.<subcommand>.yaml`` for
    the others. ``--config`` accepts it again. An earlier file that differs is kept as
    ``config.1.yaml``, and so on. Under ``robust.checkpoints.DESCRIPTION`` a checkpoint contains the
    model and the data as plain values, from which both can be built again.

    Args:
        parser: Parser of the subcommand.
        config: The parsed config.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace) -> None:
        super().__init__(parser, config, save_to_log_dir=False)

    @cached_property
    def _text(self) -> str:
        dumped = self.parser.dump(
            self.config, skip_unset=False, skip_validation=True
        )  # it is parsed
        return str(dumped)

    @cached_property
    def _plain(self) -> dict[str, Any]:
        return cast(dict[str, Any], load(self._text))

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file and ``wandb.config``; called by the first process when a stage begins."""
        assert trainer.state.fn is not None
        command = trainer.state.fn.value
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                file = "config.yaml" if command == "fit" else f"config.{command}.yaml"
                self._write(Path(logger.log_dir) / file)
            elif isinstance(logger, WandbLogger):
                logger.log_hyperparams(self._plain)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the description to the checkpoint."""
        checkpoint[DESCRIPTION] = {
            "model": self._plain["model"],
            "data": self._plain["data"],
            "version": package_version(),
        }

    def _write(self, path: Path) -> None:
        if os.path.lexists(path) and not _says(path, self._text):
            _set_aside(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, self._text)


def remove_unused(folders: Sequence[Path]) -> None:
    """Remove folders that were made for a run which did not begin.

    They hold its config at most, and what W&B wrote of it, which ends here.

    Args:
        folders: The innermost first; all stay if the first contains anything else.
    """
    if not folders or not _is_first_process():
        return
    config, server = folders[0] / "config.yaml", folders[0] / "wandb"
    with contextlib.suppress(OSError):
        if set(folders[0].iterdir()) <= {config, server}:
            if (wandb := sys.modules.get("wandb")) is not None and wandb.run is not None:
                wandb.run.finish(exit_code=1)
            config.unlink(missing_ok=True)
            if server.is_dir() and not server.is_symlink():
                shutil.rmtree(server)
            for folder in folders:
                folder.rmdir()


def _check(what: str, value: str | None, forbidden: str, variable: str | None = None) -> None:
    if value is None:
        return
    name, remedy = variable or f"`run.{what}`", variable or f"--run.{what}"
    try:
        check_name(name, value, is_file=True)
    except ConfigError as error:
        raise ConfigError(f"{error} Set {remedy}.") from None
    if set(value) & set(forbidden):
        raise ConfigError(
            f"Expected {name} to be a name without any of {' '.join(forbidden)!r}, "
            f"but got {value!r}. Set {remedy}."
        )


def _is_first_process() -> bool:
    """Return whether no launcher gave this process a rank above zero, before there is a Trainer."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(rank, "0") == "0" for rank in ranks)


def _says(path: Path, text: str) -> bool:
    """Return whether a file has this text."""
    try:
        return not path.is_symlink() and files.read(path) == text.encode()
    except OSError:
        return False


def _set_aside(path: Path) -> None:
    """Rename ``a.b``, a link or a pipe as well, to the first free of ``a.1.b``, ``a.2.b``, ..."""
    if os.path.lexists(path):
        numbered = (path.with_suffix(f".{n}{path.suffix}") for n in itertools.count(1))
        path.rename(next(other for other in numbered if not os.path.lexists(other)))
