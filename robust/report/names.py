"""Runs have short names on the page, without dates and what all of them share."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from robust.results.comparing.seeds import SEED
from robust.results.run_folder import RunFiles

_DATED = re.compile(r"(\d{8}-\d{6})(-[0-9a-f]+)?$")
"""The identifier that a run gets if nobody names one, `YYYYMMDD-HHMMSS-xxxx`."""
_MARKS = ("config.yaml", "metrics.csv")
"""Files whose time is that of a run without a dated name."""


class Name(NamedTuple):
    """A run is named twice.

    Args:
        short: What tables and charts call it.
        full: Its path below the searched folder.
        date: When it began, as ``2026-12-01 02:44``; empty if nothing says.
    """

    short: str
    full: str
    date: str

    @property
    def hint(self) -> str:
        """What a pointer on the short name shows."""
        return ", ".join(filter(None, [self.full, self.date]))


def names_of(runs: Sequence[RunFiles]) -> list[Name]:
    """Return the names of runs, whose short names differ.

    Dates go, and so do folders that all runs share. Runs that would then have one name keep their
    seeds, or get numbers by date.

    Args:
        runs: Runs under names of their own.
    """
    short = _distinct(runs, [_without_dates(run.name) for run in runs])
    common = _without_common(short)
    short = common if len(set(common)) == len(runs) else short
    if len(set(short)) < len(runs):
        short = [run.name for run in runs]
    return [Name(name, run.name, _date(run)) for name, run in zip(short, runs, strict=True)]


def _without_dates(name: str) -> str:
    parts = name.split("/")
    return "/".join(part for part in parts if not _DATED.match(part)) or name


def _without_common(names: Sequence[str]) -> list[str]:
    """Return names without first and last folders that all of them share.

    The folder above the last one stays, since it usually names the defense.
    """
    parts = [name.split("/") for name in names]
    least = 2
    while _is_common(parts, -1, 1):
        parts, least = [each[:-1] for each in parts], 1
    while _is_common(parts, 0, least):
        parts = [each[1:] for each in parts]
    return ["/".join(each) for each in parts]


def _is_common(names: Sequence[Sequence[str]], end: int, least: int) -> bool:
    """Return whether several names share a part, and keep enough parts without it."""
    is_shared = len({parts[end] for parts in names}) == 1
    return len(names) > 1 and is_shared and all(len(parts) > least for parts in names)


def _distinct(runs: Sequence[RunFiles], names: Sequence[str]) -> list[str]:
    """Return names to which runs of one name add their seeds, or else numbers."""
    told = list(names)
    for name, count in Counter(names).items():
        own = [i for i, each in enumerate(names) if each == name]
        seeds = [str(runs[i].config.get(SEED, "")) for i in own]
        by_seed = "" not in seeds and len(set(seeds)) == count
        for number, i in enumerate(own, 1):
            if count > 1:
                told[i] = f"{name} s{runs[i].config[SEED]}" if by_seed else f"{name} ({number})"
    return told


def _date(run: RunFiles) -> str:
    for part in reversed(run.name.split("/")):
        if (found := _DATED.match(part)) and (began := _parsed(found[1])):
            return f"{began:%Y-%m-%d %H:%M}"
    times = [path.stat().st_mtime for path in map(run.folder.joinpath, _MARKS) if _is_file(path)]
    return f"{datetime.fromtimestamp(min(times)):%Y-%m-%d %H:%M}" if times else ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%d-%H%M%S")
    except ValueError:
        return None
