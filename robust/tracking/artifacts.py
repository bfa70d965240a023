"""A run becomes a W&B artifact with config, checkpoints, metrics and records, and comes back."""

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger, WandbLogger

from robust.errors import ConfigError
from robust.io import files
from robust.results.metrics_csv import read_metrics
from robust.tracking.overview.registry import BEST_ALIAS, collection_path, is_best, scores_of
from robust.tracking.run import Run

if TYPE_CHECKING:
    import wandb

SCHEME = "wandb:"
"""The prefix of a run on a W&B server, such as ``wandb:entity/project/run``."""

_TYPE = "model"
"""What the registry `model` of W&B takes."""
_TYPES = (_TYPE, "trained-run")
"""With that of version 0.1."""
_FILES = (
    "*.yaml",
    "*.csv",
    "checkpoints/*.ckpt",
    *(f"records/*.{suffix}" for suffix in ("csv", "json", "kept", "png")),
)
# Seconds for an answer of the server.
_TIMEOUT = 20
# Files of a training that will go on.
_PASSING = ("preempted.ckpt",)


@rank_zero_only
def log_run(loggers: Iterable[Logger], run: Run) -> None:
    """Log what `evaluate.py` needs of a run as an artifact of W&B, in the run that records it.

    Offline W&B keeps a copy in the run's folder, and ``wandb sync`` uploads that. Files that did
    not change since the last version are not uploaded again. On a full disk only the artifact is
    missing, and one line says so. The best version has the alias ``best``. With `Run.register` the
    registry links to it.

    Args:
        loggers: Loggers; only those of W&B are used.
        run: A settled run whose training or test ended.
    """
    import wandb  # a second, which a command without it need not wait for

    for logger in loggers:
        if isinstance(logger, WandbLogger) and not logger.experiment.disabled:
            try:
                artifact = _log(logger, run)
            except (OSError, ValueError, wandb.Error) as error:
                print(f"W&B gets no artifact of this run: {error}", file=sys.stderr)
                continue
            if run.register is not None:
                _register(logger, artifact, run.register)


def _log(logger: WandbLogger, run: Run) -> "wandb.Artifact":
    import wandb

    assert run.name is not None
    assert run.id is not None
    name = re.sub(r"[^\w.-]", "-", f"{run.name}-{run.id}")
    scores = scores_of(read_metrics(run.folder))
    metadata = {"name": run.name, "id": run.id, "scores": scores}
    artifact = wandb.Artifact(name, _TYPE, metadata=metadata)
    for file in _files(run.folder):
        artifact.add_file(str(file), str(file.relative_to(run.folder)))
    recorded = logger.experiment
    # Nobody can be asked for an earlier version offline, and hardly any run has one.
    collection = f"{recorded.entity}/{recorded.project}/{name}"
    best = recorded.offline or is_best(scores, _api(recorded.entity), collection)
    recorded.log_artifact(artifact, aliases=["latest", *([BEST_ALIAS] if best else [])])
    return artifact


def _register(logger: WandbLogger, artifact: "wandb.Artifact", name: str) -> None:
    """Link an artifact in the registry, or say in one line why that fails."""
    import wandb

    path = collection_path(name)
    if logger.experiment.offline:
        print(
            f"W&B links nothing to {path} offline. After `wandb login`, call `train.py test` with "
            "--run.register again.",
            file=sys.stderr,
        )
        return
    try:
        artifact.wait(_TIMEOUT)
        best = is_best(artifact.metadata["scores"], _api(logger.experiment.entity), path)
        logger.experiment.link_artifact(artifact, path, [BEST_ALIAS] if best else [])
    except (wandb.Error, ValueError) as error:
        print(f"W&B links nothing to {path}: {_first_line(error)}", file=sys.stderr)
        return
    print(f"Registered: {path}{', the best there' if best else ''}")


def _api(entity: str) -> "wandb.Api":
    """Return W&B's answers to a user or team, to whose organization the registry belongs."""
    import wandb

    return wandb.Api(overrides={"entity": entity}, timeout=_TIMEOUT)


def fetch_run(name: str) -> Path:
    """Return the folder of a run on a W&B server, which is downloaded once.

    The folder is under ``~/.cache/robust-defenses``, or in ``ROBUST_CACHE_DIR``.

    Args:
        name: After ``wandb:``, the path of a run (``entity/project/run``), of which the last
            version counts, or of an artifact (``entity/project/name:version``).

    Raises:
        ConfigError: If the server is out of reach or has no such run, or that has no artifact.
    """
    import wandb

    try:
        if not wandb.login(prompt=False, verify=False):
            raise ConfigError(
                f"Expected W&B to be online for {SCHEME}{name}, but it has no key, or its mode is "
                "not online. Call `wandb login`, or unset WANDB_MODE."
            )
        api = wandb.Api(timeout=_TIMEOUT)
        artifact = api.artifact(name) if ":" in name else _last_artifact(api, name)
        if artifact.type not in _TYPES:
            raise ConfigError(
                f"Expected {SCHEME}{name} to be a run of train.py, but it is an artifact of type "
                f"{artifact.type}. Name a run, entity/project/run."
            )
        known = artifact.metadata
        root = str(_cache() / artifact.digest)
        folder = Run(name=str(known["name"]), id=str(known["id"]), root=root).folder
        if not (folder / ".whole").is_file():
            artifact.download(str(folder))
            files.write(folder / ".whole", b"")
    except ConfigError:
        raise
    except (wandb.Error, ValueError, KeyError, OSError) as error:
        raise ConfigError(
            f"Expected a run at {SCHEME}{name}, but: {_first_line(error)} Name "
            f"{SCHEME}entity/project/run, after `wandb login`."
        ) from None
    return folder


def _last_artifact(api: "wandb.Api", name: str) -> "wandb.Artifact":
    artifacts = [a for a in api.run(name).logged_artifacts() if a.type in _TYPES]
    if not artifacts:
        raise ConfigError(
            f"Expected an artifact of type {_TYPE} in {SCHEME}{name}, but it has none. Name a run "
            "whose training ended."
        )
    return max(artifacts, key=lambda artifact: int(artifact.version.removeprefix("v")))


def _files(folder: Path) -> list[Path]:
    found = (file for pattern in _FILES for file in folder.glob(pattern))
    return sorted(file for file in found if file.name not in _PASSING)


def _cache() -> Path:
    given = os.environ.get("ROBUST_CACHE_DIR")
    return Path(given) if given else Path.home() / ".cache" / "robust-defenses"


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return line if line.endswith(".") else f"{line}."
