"""The loggers of a run write ``metrics.csv``, and W&B with or without an account."""

import hashlib
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger, WandbLogger

from robust.errors import ConfigError
from robust.io import files
from robust.io.labels import Label
from robust.tracking.metrics import MetricsFile
from robust.tracking.overview.summary import EVERYTHING, Number, ShortSummary
from robust.tracking.run import Run

if TYPE_CHECKING:
    import wandb
    from wandb.sdk.lib import RunDisabled

# Seconds; W&B's own 90 look like a hang behind a firewall. It takes ten more to ask for the name of
# the user and to fail.
_INIT_TIMEOUT = 15.0
# As Lightning defines it for all metrics.
_STEP = "trainer/global_step"
# Seconds; with W&B's own 15 a run killed early leaves nothing to recover.
_FLUSH_INTERVAL = 5.0
# Seconds; W&B itself waits forever for a server that does not answer any more. The rest is kept on
# disk, and W&B says how to upload it.
_FINISH_TIMEOUT = 25.0


def loggers(run: Run, label: Label | None = None) -> list[Logger]:
    """Prepare the folder of ``run``, and return loggers for its ``metrics.csv`` and for W&B.

    The order matters, since Lightning derives the folder of checkpoints from the first.

    Args:
        run: A settled run.
        label: As `Tracker` takes it.

    Raises:
        ConfigError: If the folder cannot be written.
    """
    run.prepare()
    # CSVLogger warns that it deletes files. That is metrics.csv, which was set aside above.
    warnings.filterwarnings("ignore", "Experiment logs directory")
    root = run.folder.parent.parent
    assert run.name is not None, "`prepare` asks for a settled run"
    return [MetricsFile(root, name=run.name, version=run.id), Tracker(run, label=label)]


def _run_id(text: str) -> str:
    """Return a text that W&B accepts as an id and is like the given one."""
    allowed = re.sub(r"[:;,#?/'\\%]", "_", text)
    if allowed == text and len(text) <= _LONGEST_ID:
        return text
    return f"{allowed[: _LONGEST_ID - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


_LONGEST_ID = 128


class Tracker(WandbLogger):
    """W&B's logger, which needs no account, asks nothing and never stops a training.

    ``WANDB_MODE`` wins. Otherwise it records online if W&B has a key that the server accepts.
    Otherwise it records offline, and two lines say how to upload the run later. If the server goes
    away later, the end of the run waits for it for 25 s, or ``WANDB_FINISH_TIMEOUT``.

    Args:
        run: A settled run; W&B writes to ``wandb/`` in its folder and uses its id.
        evaluation: What is evaluated, such as the name of a suite; None of a training.
        label: What W&B calls the run and its group, unless ``run`` names a group, or ``WANDB_NAME``
            and ``WANDB_RUN_GROUP`` do; the run's name if None.

    Raises:
        ConfigError: If ``wandb/`` is a symbolic link.
    """

    def __init__(self, run: Run, evaluation: str | None = None, label: Label | None = None) -> None:
        files.check_own_folder(run.folder / "wandb")
        assert run.name is not None, "call `settled` first"
        label = label or Label(run.name, run.name)
        job_type = "train" if evaluation is None else f"evaluate-{evaluation}"
        name = label.name if evaluation is None else f"{label.name}: {evaluation}"
        super().__init__(
            name=os.environ.get("WANDB_NAME") or name[:_LONGEST_ID],
            save_dir=run.folder,
            # An evaluation is a run of its own in W&B, so the training keeps its numbers.
            version=run.id if evaluation is None else _run_id(f"{run.id}-{job_type}"),
            project=run.project,
            group=run.group or os.environ.get("WANDB_RUN_GROUP") or label.group,
            tags=run.tags,
            job_type=job_type,
        )
        self._summary = ShortSummary() if run.summary == "short" else None
        self._tables: dict[str, tuple[list[str], list[list[Any]]]] = {}
        # WandbLogger always passes it, and W&B warns that it no longer has an effect.
        del self._wandb_init["anonymous"]

    @property
    @rank_zero_experiment
    def experiment(self) -> "wandb.Run | RunDisabled":
        """The run of W&B, begun on first use and by the first process only.

        Raises:
            ConfigError: If W&B accepts this run in no mode, such as for a tag that it forbids.
        """
        if self._experiment is not None:
            return self._experiment
        import wandb  # a second, which a command without it need not wait for

        # Otherwise WandbLogger goes on in the run of an earlier training in this process.
        wandb.finish()
        # W&B keeps the images of tables here. By default that is the home directory, and if that
        # cannot be written, the training would fail.
        folder = str(Path(self._wandb_init["dir"], "wandb").absolute())
        os.environ["WANDB_DATA_DIR"] = folder
        if not _has_cache():
            # W&B's own process keeps its log there, and without a place prints it.
            os.environ["XDG_CACHE_HOME"] = folder
        mode = os.environ.get("WANDB_MODE") or wandb.setup().settings.mode
        trouble = self._connect() if mode == "online" else f"its mode is {mode}"
        if trouble is not None:
            self._begin_locally("offline" if mode == "online" else mode, trouble)
        return cast("wandb.Run | RunDisabled", self._experiment)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers; the summary of the run has those that matter, a table all of a test."""
        if self._summary is not None:
            for key in self._summary.hidden(metrics):
                self.experiment.define_metric(
                    key, step_metric=_STEP, step_sync=True, summary="none", hidden=True
                )
        super().log_metrics(metrics, step)

    @rank_zero_only
    def add_rows(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table, which is logged when the test ends.

        Args:
            key: Its name in W&B.
            columns: Names of the columns, each time the same.
            rows: One value a column.
        """
        _, known = self._tables.setdefault(key, (list(columns), []))
        known += [list(row) for row in rows]

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Log what was kept for the end of a test."""
        if self._summary is not None and self._summary.numbers:
            self.add_rows(EVERYTHING, Number._fields, self._summary.table())
            self._summary.numbers = {}
        while self._tables:
            key, (columns, rows) = self._tables.popitem()
            self.log_table(key, columns, rows)
        super().finalize(status)

    def _connect(self) -> str | None:
        """Begin online, or return why that fails."""
        import wandb

        try:
            if not wandb.login(prompt=False, verify=False):
                return "no key; `wandb login` sets one"
            self._begin("online", silent=False)
        except wandb.Error as error:
            wandb.teardown()
            return f"no answer, or not with this key: {_first_line(error)}"
        return None

    def _begin_locally(self, mode: str, trouble: str) -> None:
        import wandb

        try:
            run = self._begin(mode, silent=True)
        except (wandb.Error, ValueError) as error:
            raise ConfigError(
                f"Expected a run that W&B accepts, but got: {_first_line(error)} "
                "Fix --run or WANDB_MODE."
            ) from None
        if mode == "offline":
            folder = Path(run.dir).parent
            print(
                f"W&B records this run offline ({trouble}).\nUpload: wandb sync {folder}",
                file=sys.stderr,
            )

    def _begin(self, mode: str, *, silent: bool) -> "wandb.Run | RunDisabled":
        import wandb

        self._wandb_init["mode"] = mode
        self._wandb_init["settings"] = wandb.Settings(
            init_timeout=_INIT_TIMEOUT,
            finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT", _FINISH_TIMEOUT)),
            x_transaction_log_flush_interval=_FLUSH_INTERVAL,
            silent=silent,
            quiet=True,
        )
        return cast("wandb.Run | RunDisabled", super().experiment)


def _has_cache() -> bool:
    """Return whether there is a folder that programs may keep their cache in, or can be one."""
    home = os.environ.get("HOME")
    given = os.environ.get("XDG_CACHE_HOME") or (home and str(Path(home, ".cache")))
    if not given or not os.path.isabs(given):
        return False
    there = next(place for place in (Path(given), *Path(given).parents) if place.exists())
    return os.access(there, os.W_OK | os.X_OK) and there.is_dir()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
