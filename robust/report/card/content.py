"""The content of a card: runs, their evaluations, and the files that all of it is from."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robust.errors import ConfigError
from robust.io import files
from robust.report.card import evidence, numbers, statements
from robust.report.card.intact import damage
from robust.report.comparisons import record_of
from robust.report.protocols import Entry, Protocol, protocols
from robust.results.kept.stored import hardware_of, kept_path
from robust.results.metrics_csv import training_seconds
from robust.results.run_folder import BEST, LAST, Reader, RunFiles

NOT_STATED = "not stated"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Stated:
    """What no record says, and who makes the card may state.

    Args:
        trained_by: Who trained the network.
        licence: Under which licence it is.
    """

    trained_by: str = NOT_STATED
    licence: str = NOT_STATED


def content_of(roots: Sequence[Path], stated: Stated, folder: Path) -> list[dict[str, Any]]:
    """Return what a card says of each run, in JSON's types.

    Args:
        roots: Folders of runs.
        stated: What no record says.
        folder: Where the card is.

    Raises:
        ConfigError: If there are no runs, or one has no records.
    """
    runs = Reader().read(roots)
    found = protocols(runs)
    lacking = [run.name for run in runs if not run.evaluations]
    if lacking:
        raise ConfigError(
            f"Expected records of {', '.join(lacking[:5])}, but got none. Attack the run first: "
            "robust evaluate RUN."
        )
    return [_run(run, found, stated, folder) for run in runs]


def _run(run: RunFiles, found: Sequence[Protocol], stated: Stated, folder: Path) -> dict[str, Any]:
    entries = [entry for protocol in found for entry in protocol.entries if entry.run is run]
    damaged = damage(run)
    return {
        "name": run.name,
        "folder": Path(os.path.relpath(run.folder, folder.resolve())).as_posix(),
        "subject": _network(run, stated),
        "evaluations": [_evaluation(entry, damaged) for entry in entries],
        "training": {
            "progress": run.training,
            "seconds": training_seconds(run.folder),
            "record": "metrics.csv",
        },
        "files": files_of(run),
    }


def _network(run: RunFiles, stated: Stated) -> dict[str, Any]:
    network = run.setting("model.init_args.network", "?")
    newest = list(run.evaluations.values())[-1].header
    return {
        "defense": run.defense,
        "architecture": network.get("class_path", "?") if isinstance(network, dict) else network,
        "model_sha256": newest.model_sha256,
        "checkpoint": _checkpoint(run.folder),
        "settings": run.config.get("model"),
        "seed": run.setting("seed_everything", None),
        "trained_by": stated.trained_by,
        "licence": stated.licence,
    }


def _evaluation(entry: Entry, damaged: Mapping[Path, Sequence[str]]) -> dict[str, Any]:
    header, record = entry.evaluation.header, record_of(entry)
    path = entry.run.folder / "records" / Path(record).name
    content: dict[str, Any] = {
        "suite": header.suite,
        "record": record,
        "data": {
            "name": header.data,
            "split": header.split,
            "n": entry.n,
            "sha256": header.data_sha256,
            "seed": header.seed,
        },
        "model_sha256": header.model_sha256,
        "adaptive_sha256": header.adaptive_sha256,
        "threat_models": numbers.threat_models(entry),
        "attacks": numbers.attacks(entry, record),
        "results": numbers.results(entry, record),
        "evidence": evidence.evidence(entry, record, path.with_suffix(".json")),
        "curve": numbers.curve(entry, record),
        "compute": {
            "forwards": float(entry.evaluation.rows["forwards"].sum()),
            "seconds": float(entry.evaluation.rows["seconds"].sum()),
            "hardware": hardware_of(kept_path(path)),
            "record": record,
        },
    }
    return {
        **content,
        "limits": [*statements.limits(entry, content), *statements.doubts(entry, path, damaged)],
        "checklist": statements.checklist(entry, content),
    }


def _checkpoint(folder: Path) -> str | None:
    """Return the checkpoint that evaluations of a run take."""
    for name in (BEST, LAST):
        if (folder / "checkpoints" / name).is_file():
            return f"checkpoints/{name}"
    return None


def files_of(run: RunFiles) -> list[dict[str, Any]]:
    """Return the files that a card is derived from, each with its hash."""
    names = ["config.yaml", "metrics.csv", _checkpoint(run.folder)]
    paths = [run.folder / name for name in names if name is not None]
    for record in run.evaluations:
        paths += [record, record.with_suffix(".json"), kept_path(record)]
    return [
        {"path": path.relative_to(run.folder).as_posix(), **hash_of(path)}
        for path in paths
        if path.is_file()
    ]


def hash_of(path: Path) -> Mapping[str, Any]:
    """Return the SHA-256 of a file and its size."""
    digest, size = hashlib.sha256(), 0
    with files.open_to_read(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return {"sha256": digest.hexdigest(), "bytes": size}
