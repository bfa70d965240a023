"""What of a card or a run does not stand, as far as files and records alone can tell."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from robust.errors import ConfigError
from robust.report.card.content import Stated, content_of, hash_of
from robust.report.card.intact import record_faults, record_paths
from robust.report.card.sealed import seal
from robust.results.run_folder import run_folders
from robust.results.stored.headers import DAMAGE

_MOST = 20
"""So many faults of one file are named."""


class Found(NamedTuple):
    """What verification looked at, and what does not stand.

    Args:
        looked: Sentences on what was looked at.
        faults: Sentences on what does not stand, each after its file; none is good.
    """

    looked: list[str]
    faults: list[str]


def in_short(faults: Sequence[str]) -> Iterator[str]:
    """Yield the first faults of each file, and how many more there are."""
    by_file: dict[str, list[str]] = {}
    for fault in faults:
        by_file.setdefault(fault.partition(": ")[0], []).append(fault)
    for file, each in by_file.items():
        yield from each[:_MOST]
        if len(each) > _MOST:
            yield f"{file}: and {len(each) - _MOST} more."


def label(record: Path) -> str:
    """Return how lines call a record: below the name of its run, as tables have it."""
    return "/".join(record.parts[-4:])


def verify_card(card: Mapping[str, Any], folder: Path) -> tuple[Found, list[Path]]:
    """Return what of a card does not stand, and the folders of its runs.

    Args:
        card: Its content.
        folder: Where it is.

    Raises:
        ConfigError: If a run is not where the card says.
    """
    found = Found([], [])
    if card.get("sha256") != _seal(card):
        found.faults.append("card.json: its hash does not match its content.")
    if not _has_runs(card):
        found.faults.append("card.json: it does not say which runs it is of, and of which files.")
        return found, []
    runs = [(run["name"], folder / run["folder"], run) for run in card["runs"]]
    for name, path, run in runs:
        if not os.path.isdir(path):  # which is false of a name that no folder can have
            raise ConfigError(
                f"Expected run {name} where the card says, but it is not there. Put the card where "
                "it was written, or verify the run."
            )
        _files(name, path, run, found)
    _numbers(card, [path for _, path, _ in runs], folder, found)
    return found, [path.resolve() for _, path, _ in runs]


def verify_records(folder: Path) -> Found:
    """Return what does not stand of the records in the folder of a run, byte by byte.

    Raises:
        ConfigError: If there are none.
    """
    found = Found([], [])
    records = record_paths(folder)
    if not records:
        raise ConfigError(
            f"Expected records of {_name(folder)} to verify, but got none. Attack the run "
            "first: robust evaluate RUN."
        )
    for path in records:
        found.faults.extend(f"{label(path)}: {fault}" for fault in record_faults(path))
    rows = f"{len(records)} record {'file' if len(records) == 1 else 'files'}"
    found.looked.append(f"{_name(folder)}: {rows}, each byte of them")
    return found


def _name(folder: Path) -> str:
    return "/".join(folder.parts[-2:])


def run_folders_in(roots: Sequence[Path]) -> list[Path]:
    """Return the folders of runs in and below some folders.

    Raises:
        ConfigError: If one does not exist, or there are none.
    """
    folders = [folder.resolve() for root in roots for folder in run_folders(root)]
    if roots and not folders:
        raise ConfigError(f"Expected a run in {roots[0]}, but found none. Name a run folder.")
    return list(dict.fromkeys(folders))


def _has_runs(card: Mapping[str, Any]) -> bool:
    """Return whether a card has runs of the form that is read below."""
    runs = card.get("runs")
    return isinstance(runs, list) and bool(runs) and all(map(_is_run, runs))


def _is_run(run: Any) -> bool:  # noqa: ANN401 (JSON)
    if not isinstance(run, dict) or not isinstance(run.get("subject"), dict):
        return False
    files = run.get("files")
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        return False
    texts = [run.get(key) for key in ("name", "folder")]
    texts += [file.get(key) for file in files for key in ("path", "sha256")]
    return all(isinstance(text, str) for text in texts)


def _seal(card: Mapping[str, Any]) -> str | None:
    try:
        return seal(card)
    except ValueError:  # a number that JSON does not have
        return None


def _files(name: str, path: Path, run: Mapping[str, Any], found: Found) -> None:
    """Compare the hash of each file that a card names."""
    for file in run["files"]:
        try:
            actual = hash_of(path / file["path"])
        except (OSError, ValueError) as error:  # the latter if no file can have this name
            reason = getattr(error, "strerror", None) or "no file has this name"
            found.faults.append(f"{name}/{file['path']}: cannot be read ({reason}).")
            continue
        if actual["sha256"] != file["sha256"]:
            found.faults.append(f"{name}/{file['path']}: its hash does not match the card.")
    found.looked.append(f"{name}: {len(run['files'])} files by their SHA-256")


def _numbers(card: Mapping[str, Any], runs: Sequence[Path], folder: Path, found: Found) -> None:
    """Derive all that a card says from the records again."""
    network = card["runs"][0]["subject"]
    stated = Stated(str(network.get("trained_by")), str(network.get("licence")))
    try:
        derived = content_of(runs, stated, folder)
    except (ConfigError, *DAMAGE) as error:
        found.faults.append(f"card.json: nothing can be derived again ({error})")
        return
    plain = json.loads(json.dumps(derived, allow_nan=False))
    names = {run["name"]: run for run in plain}
    counted = 0
    for run in card["runs"]:
        own = _renamed(run, plain, names)
        different = [] if own is None else list(_differences(run, own, f"{run['name']}"))
        if own is None:
            different = [f"{run['name']}: no such run"]
        found.faults.extend(
            f"card.json: {each}: derived again, it is another value." for each in different
        )
        counted += _count(run)
    found.looked.append(f"card.json: {counted} values derived from records again")


def _renamed(
    run: Mapping[str, Any], derived: Sequence[Mapping[str, Any]], names: Mapping[str, Any]
) -> Any:  # noqa: ANN401 (JSON)
    """Return the run as derived again, which may have another name from another root."""
    same = next((each for each in derived if each["folder"] == run["folder"]), None)
    found = names.get(run["name"], same) if same is None else same
    if found is None or found["name"] == run["name"]:
        return found
    text = json.dumps(found).replace(f"{found['name']}/", f"{run['name']}/")
    return {**json.loads(text), "name": run["name"]}


def _differences(one: Any, other: Any, where: str) -> Iterator[str]:  # noqa: ANN401 (JSON)
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            yield from _differences(one.get(key), other.get(key), f"{where}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _differences(mine, theirs, f"{where}/{i}")
    elif one != other:
        yield where


def _count(value: Any) -> int:  # noqa: ANN401 (JSON)
    if isinstance(value, dict | list):
        return sum(map(_count, value.values() if isinstance(value, dict) else value))
    return 1
