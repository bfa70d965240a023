"""Metrics that a run has logged are read from its ``metrics.csv`` files, one a session.

A session is what one process logged; `robust.tracking.Run.prepare` sets the file of an earlier one
aside as ``metrics.1.csv``, ``metrics.2.csv``, and so on.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from robust.io import files

_LARGEST = 64_000_000
_LONGEST_NAME = 200


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Return rows that a run logged, earlier sessions first; each has ``step`` and some metrics.

    Where a resumed training logged the same keys at the same step again, the later values count.
    A file that its run is writing may lack its last row. What is damaged is left out.

    Args:
        folder: The run's; no rows if it has no ``metrics.csv``.
    """
    return read_sessions(folder)[0]


def read_sessions(folder: Path) -> tuple[list[dict[str, float]], list[str]]:
    """Return the rows of `read_metrics`, and what cannot be read of the files, as sentences."""
    rows: dict[tuple[float, frozenset[str]], dict[str, float]] = {}
    faults: list[str] = []
    for path in _sessions(folder):
        try:
            # Bytes that are no text are those of no number, and cost their row.
            text = files.read(path, _LARGEST).decode(errors="replace")
        except FileNotFoundError:
            faults.append(f"no {path.name}")
            continue
        except OSError as error:
            faults.append(f"{path.name}: unreadable ({error.strerror})")
            continue
        if {"\0", "\ufffd"} & set(text.partition("\n")[0]):
            faults.append(f"{path.name}: unreadable (not UTF-8)")
            continue
        lines = _cells(text[: text.rfind("\n") + 1])  # without its end it is still being written
        names = next(lines, [])
        if names and "step" not in names:
            faults.append(f"{path.name}: unreadable (its first line names no step)")
            continue
        kept = [name if len(name) <= _LONGEST_NAME else None for name in names]
        found = [_numbers(kept, cells) for cells in lines]
        rows |= {(row["step"], frozenset(row)): row for row in found if "step" in row}
        damaged = sum("step" not in row for row in found)
        if damaged:
            faults.append(f"{path.name}: {damaged} damaged rows")
    return list(rows.values()), faults


SECONDS, TRAINING_ACCURACY = "train/seconds", "train/clean_acc"
"""The metric of how long each epoch took to train."""


def training_seconds(folder: Path) -> float | None:
    """Return how long a run was trained, without validation; None if it does not say.

    Of an epoch that was trained twice, the later time counts.

    Args:
        folder: The run's.
    """
    rows = [row for row in read_metrics(folder) if SECONDS in row]
    epochs = {row.get("epoch", -1.0): row[SECONDS] for row in rows}
    return sum(epochs.values()) if epochs else None


def _sessions(folder: Path) -> list[Path]:
    numbers = {
        int(match[1]): path
        for path in folder.glob("metrics.*.csv")
        if (match := re.fullmatch(r"metrics\.(\d{1,9})\.csv", path.name))
    }
    return [*(numbers[n] for n in sorted(numbers)), folder / "metrics.csv"]


def _numbers(names: Sequence[str | None], cells: Sequence[str]) -> dict[str, float]:
    """Return the cells of a row that are numbers; another process may be rewriting it."""
    pairs = zip(names, cells, strict=False)
    try:
        return {name: float(cell) for name, cell in pairs if cell and name is not None}
    except ValueError:
        good = [cell if _is_number(cell) else "" for cell in cells]
        return _numbers(names, good)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _cells(text: str) -> Iterator[list[str]]:
    reader = csv.reader(text.split("\n")[:-1])  # for `splitlines` a name may hold the end of a line
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:  # such as a cell of more letters than the module takes
            yield []
