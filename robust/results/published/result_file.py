"""A CSV file keeps one number of ours for each view of each cell that a paper prints.

It is what pages and counts of a paper are derived from. A number that is measured again replaces
the earlier one, so no cell has two through one view.
"""

import contextlib
import csv
import fcntl
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from robust.errors import ConfigError
from robust.io import files
from robust.results.published.cells import CLEAN

_LARGEST = 16_000_000


class Result(NamedTuple):
    """A number of ours for a cell of a paper's table, with where it comes from.

    Numbers are in the unit of the table, in % for rates. What is not known is None or empty.
    """

    table: str
    row: str
    column: str
    view: str
    """The view that was attacked, or ``clean``."""
    attack: str
    """Name in the suite; with ``+`` between those of which the number is the worst."""
    published: float | None
    value: float
    n: int
    """Images that were evaluated; of an attack success, only the correct ones are attacked."""
    low: float | None
    """Bound of the 95 % interval; None of a number that has none, such as a distance."""
    high: float | None
    unit_test: str
    """How many of the images of the attack unit test were found, such as ``63/64``."""
    differs: str
    """In what the run differs from the paper's network, such as ``network, epochs``."""
    seed: int | None
    """Of the training."""
    config: str
    """The training, by its name in ``reproduce.sh``."""
    network: str
    """The start of the hash of the network that was attacked."""
    precision: str
    """Of the training; attacks are in float32."""
    commit: str
    """Of the code that gave the number."""
    hours: float | None
    """Of the attacks that the number needs."""
    command: str

    @property
    def key(self) -> tuple[str, ...]:
        """What tells numbers apart: table, row, column and view."""
        return self[:4]


_NUMBERS = {"published": float, "value": float, "n": int, "low": float, "high": float}
_NUMBERS |= {"seed": int, "hours": float}
_NEEDED = ("table", "row", "column", "view", "value", "n")
_KEPT = ("commit", "hours", "command")
"""What may differ of a number that is the same."""


def read_results(path: Path) -> list[Result]:
    """Return the numbers in a file; none if there is no such file.

    Raises:
        ConfigError: If it cannot be read, or is damaged.
    """
    try:
        text = files.read(path, _LARGEST).decode("utf-8")
        return list(_parsed(text))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"Expected results of a paper in {path}, but cannot read them ({reason}). Restore the "
            "file, such as with git checkout, or move it elsewhere."
        ) from None


def add_results(path: Path, found: Iterable[Result]) -> list[Result]:
    """Put numbers into a file, and return those that are new in it.

    A number replaces the earlier one of its cell and view. The clean accuracy of a network stays
    where the earlier one is of more images. Of a number that is the same, the earlier row stays.

    Args:
        path: The file; it is made if absent, but its folder has to exist.
        found: One number a cell and view.

    Raises:
        ConfigError: If the file is damaged or cannot be written.
    """
    try:
        with _alone(path.parent):
            known = {result.key: result for result in read_results(path)}
            new = [result for result in found if _replaces(result, known.get(result.key))]
            known |= {result.key: result for result in new}
            if new:
                files.write(path, results_text(known.values()))
    except OSError as error:
        raise ConfigError(
            f"Expected to write results to {path}, but cannot ({error.strerror}). Choose another "
            "file."
        ) from None
    return new


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out that ask for the same folder, if the file system has locks.

    Unlike a file for the lock, this leaves nothing behind in a folder that is committed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def results_text(results: Iterable[Result]) -> str:
    """Return the text of a file with these numbers, in their order of table, row and column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Result._fields)
    for result in sorted(results, key=lambda each: each.key):
        writer.writerow([_shown(value) for value in result])
    return text.getvalue()


def _replaces(new: Result, old: Result | None) -> bool:
    if old is None:
        return True
    if new.view == CLEAN and new.network == old.network and new.n < old.n:
        return False
    ours, theirs = (dict(zip(each._fields, _row(each), strict=True)) for each in (new, old))
    return any(ours[key] != theirs[key] for key in ours if key not in _KEPT)


def _row(result: Result) -> list[str]:
    return [_shown(value) for value in result]


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _parsed(text: str) -> Iterator[Result]:
    """Yield the numbers in the text of a file.

    Raises:
        ValueError: With what is wrong, and in which line.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    if next(reader, []) != list(Result._fields):
        raise ValueError("its first line does not name its columns")
    known: set[tuple[str, ...]] = set()
    for values in reader:
        result = _result(values, f"line {reader.line_num}")
        if result.key in known:
            raise ValueError(f"line {reader.line_num} has a second number for one cell")
        known.add(result.key)
        yield result


def _result(values: Sequence[str], line: str) -> Result:
    if len(values) != len(Result._fields):
        raise ValueError(f"{line} has {len(values)} values, not {len(Result._fields)}")
    plain: dict[str, Any] = dict(zip(Result._fields, values, strict=True))
    if missing := [key for key in _NEEDED if not plain[key]]:
        raise ValueError(f"{line} lacks {', '.join(missing)}")
    for key, kind in _NUMBERS.items():
        plain[key] = _number(plain[key], kind, f"{line}, {key}")
    result = Result(**plain)
    low, high = result.low, result.high
    if result.n < 1 or (low is None) != (high is None):
        raise ValueError(f"{line} has no images, or one bound alone")
    if low is not None and high is not None and not low <= result.value <= high:
        raise ValueError(f"{line} has a value outside of its interval")
    return result


def _number(text: str, kind: type, what: str) -> float | None:
    if not text:
        return None
    try:
        number: float = kind(text)
    except ValueError:
        raise ValueError(f"{what} is no number: {text!r:.30}") from None
    if not math.isfinite(number):
        raise ValueError(f"{what} is not finite")
    return number
