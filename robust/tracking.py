"""Where a run lives on disk and in Weights & Biases: ``runs/<name>/<id>`` holds everything of it.

A run needs no account: without a key, or with the server out of reach, W&B records it in its folder
and ``wandb sync`` uploads it later.
"""

import itertools
import os
import secrets
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import wandb
import yaml
from jaxtyping import Float
from jsonargparse import Namespace
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from torch import Tensor
from wandb.sdk.lib import RunDisabled

from robust.checkpoints import DESCRIPTION
from robust.errors import ConfigError
from robust.types import Images, Labels

_RUN_ID = "ROBUST_RUN_ID"
# Seconds; W&B's own 90 look like a hang to someone behind a firewall.
_INIT_TIMEOUT = 20.0
# Seconds; with W&B's own 15 a run killed early leaves nothing to recover.
_FLUSH_INTERVAL = 5.0


@dataclass(frozen=True)
class Run:
    """One training or evaluation, with its folder ``root/name/id``.

    Args:
        name: What the run is about, also its name in W&B; default: the stem of the config file.
        id: Tells runs of one name apart, also in W&B. Default: ``WANDB_RUN_ID`` where set, which is
            also how processes that torchrun or srun started agree on one folder; else the time.
        root: Folder of all runs.
        project: W&B project.
        group: W&B group, such as the table that a run belongs to.
        tags: W&B tags.

    Raises:
        ConfigError: If ``name`` or ``id`` cannot be a folder, or W&B forbids ``id`` or ``project``.
    """

    name: str | None = None
    id: str | None = None
    root: str = "runs"
    project: str = "robust-defenses"
    group: str | None = None
    tags: list[str] | None = None

    def __post_init__(self) -> None:
        _check("name", self.name, forbidden="/\\\0")
        _check("id", self.id, forbidden="/\\\0:;,#?'")
        _check("project", self.project, forbidden="/\\#?%:")

    @staticmethod
    def from_checkpoint(path: str | Path) -> "Run | None":
        """The run that wrote ``<root>/<name>/<id>/checkpoints/<file>.ckpt``; None for other paths.

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
        """This run with ``name`` and ``id`` filled in.

        The id is the given one, else ``WANDB_RUN_ID``, else new. Processes that Lightning starts
        inherit it through ``ROBUST_RUN_ID``, which the first process never reads: two runs in one
        process, or in a command that it starts, share no folder by accident.

        Raises:
            ConfigError: If this process is one of many and none told it their common id.
        """
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
        return Path(self.root).expanduser() / self.name / self.id

    def prepare(self) -> None:
        """Make the folder, and set aside the ``metrics.csv`` of an earlier session in it.

        Lightning's CSVLogger would delete that file; it becomes ``metrics.1.csv``, and so on.

        Raises:
            ConfigError: If the folder cannot be written.
        """
        if not _is_first_process():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
            _set_aside(self.folder / "metrics.csv")
        except OSError as error:
            raise ConfigError(
                f"Expected a run folder that can be written, but got {self.folder} "
                f"({error.strerror}): choose another with --run.root."
            ) from None


def loggers(run: Run, job_type: str | None = None) -> list[Logger]:
    """``metrics.csv`` and W&B, both inside the folder of ``run``, which this prepares.

    The order matters: Lightning derives the folder of checkpoints from the first.

    Raises:
        ConfigError: If the folder cannot be written.
    """
    run.prepare()
    # CSVLogger warns of deleting what the folder holds; it deletes metrics.csv, set aside above.
    warnings.filterwarnings("ignore", "Experiment logs directory")
    root = run.folder.parent.parent
    return [CSVLogger(root, name=run.name, version=run.id), Tracker(run, job_type)]


@rank_zero_only
def log_adversarial_table(
    loggers: Iterable[Logger],
    view: str,
    attack: str,
    x: Images,
    x_adv: Images,
    y: Labels,
    clean_pred: Labels,
    adv_pred: Labels,
    *,
    limit: int = 16,
) -> None:
    """Show some images beside their adversarial ones in W&B, as ``test/<view>/<attack>/examples``.

    The third picture is the difference on grey, amplified until its largest change is black or
    white; the column ``amplified`` says how much.

    Args:
        loggers: Those that are not W&B's are left alone.
        view: What the attacker differentiated.
        attack: Its name in the suite.
        x: Clean images.
        x_adv: What the attack made of them.
        y: True labels.
        clean_pred: Predictions on ``x``.
        adv_pred: Predictions on ``x_adv``.
        limit: The first so many are shown.
    """
    targets = [logger for logger in loggers if isinstance(logger, WandbLogger)]
    if not targets:
        return
    columns = ["label", "clean prediction", "adversarial prediction"]
    columns += ["clean", "adversarial", "difference", "amplified"]
    rows = []
    for i in range(min(limit, len(x))):
        delta = x_adv[i] - x[i]
        largest = delta.abs().max().item()
        gain = 0.5 / largest if largest > 0 else 1.0
        pictures = [_picture(pixels) for pixels in (x[i], x_adv[i], 0.5 + gain * delta)]
        numbers = [int(labels[i]) for labels in (y, clean_pred, adv_pred)]
        rows.append([*numbers, *pictures, round(gain, 1)])
    for logger in targets:
        logger.log_table(f"test/{view}/{attack}/examples", columns, rows)


@rank_zero_only
def log_figures(loggers: Iterable[Logger], figures: Mapping[str, str | Path]) -> None:
    """Show PNG files in W&B.

    Args:
        loggers: Those that are not W&B's are left alone.
        figures: The file to show under each key.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            for key, path in figures.items():
                logger.log_image(key, [str(path)])


class Tracker(WandbLogger):
    """W&B's logger, which needs no account, asks nothing and never stops a training.

    ``WANDB_MODE`` wins. Otherwise it records online where W&B has a key, and offline where it has
    none or the server does not answer or accept it; then one line says how to upload the run later.

    Args:
        run: A settled run; W&B writes to ``wandb/`` in its folder and uses its id.
        job_type: Tells trainings from evaluations in W&B.
    """

    def __init__(self, run: Run, job_type: str | None = None) -> None:
        super().__init__(
            name=run.name,
            save_dir=run.folder,
            # An evaluation is a run of its own beside the training, which keeps its numbers.
            version=run.id if job_type is None else f"{run.id}-{job_type}",
            project=run.project,
            group=run.group,
            tags=run.tags,
            job_type=job_type,
        )
        # WandbLogger always passes it, and W&B warns that it has no effect any more.
        del self._wandb_init["anonymous"]

    @property
    @rank_zero_experiment
    def experiment(self) -> wandb.Run | RunDisabled:
        """W&B's run, begun on first use and by the first process only.

        Raises:
            ConfigError: If W&B takes this run in no mode, such as for a tag that it forbids.
        """
        if self._experiment is not None:
            return self._experiment
        # Otherwise WandbLogger goes on in the run of an earlier training in this process.
        wandb.finish()
        # W&B keeps the pictures of tables here, by default in the home directory: outside the run,
        # and where that cannot be written, the end of the training.
        os.environ["WANDB_DATA_DIR"] = str(Path(self._wandb_init["dir"], "wandb").absolute())
        mode = os.environ.get("WANDB_MODE") or wandb.setup().settings.mode
        trouble = self._connect() if mode == "online" else f"its mode is {mode}"
        if trouble is not None:
            self._begin_locally("offline" if mode == "online" else mode, trouble)
        return cast(wandb.Run | RunDisabled, self._experiment)

    def _connect(self) -> str | None:
        """Begin online, or say why that cannot be."""
        try:
            if not wandb.login(prompt=False, verify=False):
                return "it has no key, which `wandb login` would set"
            self._begin("online", silent=False)
        except wandb.Error as error:
            wandb.teardown()
            return f"no answer, or not with this key: {_first_line(error)}"
        return None

    def _begin_locally(self, mode: str, trouble: str) -> None:
        try:
            run = self._begin(mode, silent=True)
        except (wandb.Error, ValueError) as error:
            raise ConfigError(
                f"Expected a run that W&B accepts, but got: {_first_line(error)} "
                "Mend --run or WANDB_MODE."
            ) from None
        if mode == "offline":
            folder = Path(run.dir).parent
            print(
                f"W&B records this run offline ({trouble}). Upload it with: wandb sync {folder}",
                file=sys.stderr,
            )

    def _begin(self, mode: str, *, silent: bool) -> wandb.Run | RunDisabled:
        self._wandb_init["mode"] = mode
        self._wandb_init["settings"] = wandb.Settings(
            init_timeout=_INIT_TIMEOUT,
            x_transaction_log_flush_interval=_FLUSH_INTERVAL,
            silent=silent,
            quiet=True,
        )
        return cast(wandb.Run | RunDisabled, super().experiment)


class SaveRunConfig(SaveConfigCallback):
    """Keeps the whole config with a run: as a file, in W&B, and in its checkpoints.

    The file is ``config.yaml`` in the run's folder for ``fit`` and ``config.<subcommand>.yaml`` for
    the others; ``--config`` accepts it again. An earlier one that differs is kept as
    ``config.1.yaml``, and so on.
    Under ``robust.checkpoints.DESCRIPTION`` a checkpoint holds the model and the data as plain
    values, from which both can be built anew.

    Args:
        parser: Parser of the subcommand.
        config: What it parsed.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace) -> None:
        super().__init__(parser, config, save_to_log_dir=False)

    @cached_property
    def _text(self) -> str:
        return str(self.parser.dump(self.config, format="yaml", skip_unset=False))

    @cached_property
    def _plain(self) -> dict[str, Any]:
        return cast(dict[str, Any], yaml.safe_load(self._text))

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
        """Make the checkpoint describe itself."""
        checkpoint[DESCRIPTION] = {
            "model": self._plain["model"],
            "data": self._plain["data"],
            "version": version("robust-defenses"),
        }

    def _write(self, path: Path) -> None:
        if path.is_file() and path.read_text() != self._text:
            _set_aside(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._text)


def _check(what: str, value: str | None, forbidden: str) -> None:
    if value is None:
        return
    if value != value.strip() or value in ("", ".", "..") or set(value) & set(forbidden):
        raise ConfigError(
            f"Expected `run.{what}` to be a name without any of {' '.join(forbidden)!r}, "
            f"but got {value!r}. Set --run.{what}."
        )


def _is_first_process() -> bool:
    """Whether no launcher gave this process a rank above zero; known before there is a Trainer."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(rank, "0") == "0" for rank in ranks)


def _set_aside(path: Path) -> None:
    """Rename ``a.b`` to the first free one of ``a.1.b``, ``a.2.b``, ..."""
    if path.exists():
        numbered = (path.with_suffix(f".{n}{path.suffix}") for n in itertools.count(1))
        path.rename(next(other for other in numbered if not other.exists()))


def _picture(pixels: Float[Tensor, "c h w"]) -> wandb.Image:
    """Grey or RGB; other numbers of channels as their mean."""
    if len(pixels) not in (1, 3):
        pixels = pixels.mean(0, keepdim=True)
    # As bytes, because W&B stretches the contrast of tensors.
    values = (pixels.detach().clamp(0, 1) * 255).round().byte()
    return wandb.Image(values.permute(1, 2, 0).cpu().numpy())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
