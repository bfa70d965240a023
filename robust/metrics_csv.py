"""The rows of a ``metrics.csv``, which a training may be writing and which may be damaged."""

import csv
from collections.abc import Iterator
from pathlib import Path

from robust.errors import ConfigError
from robust.files import read

_LARGEST = 256 << 20
"""Bytes of a file."""


def read_cells(path: Path) -> list[dict[str, str]]:
    """Cells that are not empty by the names of their columns, of each row that can be read.

    A row that is still being written, or that is damaged, is left out; so are cells beyond the
    columns that have names. Bytes that are no text are those of no number.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is none.
        ConfigError: If it is no file, too large, or its first line does not name ``step``.
    """
    try:
        text = read(path, _LARGEST).decode(errors="replace")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(
            f"Expected metrics in {path}, but cannot read it ({error.strerror})."
        ) from None
    # Not `splitlines`, for which a name may hold the end of a line.
    rows = _rows(text[: text.rfind("\n") + 1].split("\n")[:-1])
    names = next(rows, [])
    if names and "step" not in names:
        raise ConfigError(f"Expected the columns of metrics in the first line of {path}.")
    return [{n: cell for n, cell in zip(names, row, strict=False) if cell} for row in rows]


def _rows(lines: list[str]) -> Iterator[list[str]]:
    rows = csv.reader(lines)
    while True:
        try:
            yield next(rows)
        except csv.Error:  # such as a cell of more than 131,072 letters
            continue
        except StopIteration:
            return
