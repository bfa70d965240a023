"""What a run has logged so far, read from its ``metrics.csv``."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from robust.errors import ConfigError
from robust.metrics_csv import read_cells


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Rows that a run logged, those of earlier sessions first; each has ``step`` and some metrics.

    A session is what one process logged; `Run.prepare` sets the file of an earlier one aside.
    Where a resumed training logged the same keys at the same step again, the later values count.
    A file that its run is writing may lack its last row.

    Args:
        folder: The run's; no rows if it has no ``metrics.csv``.
    """
    rows: dict[tuple[float, frozenset[str]], dict[str, float]] = {}
    for path in _sessions(folder):
        for row in _read(path):
            rows[row["step"], frozenset(row)] = row
    return list(rows.values())


def _sessions(folder: Path) -> list[Path]:
    """``metrics.1.csv``, ``metrics.2.csv``, ..., and the present one."""
    numbers = {
        int(match[1]): path
        for path in folder.glob("metrics.*.csv")
        if (match := re.fullmatch(r"metrics\.(\d+)\.csv", path.name))
    }
    return [*(numbers[n] for n in sorted(numbers)), folder / "metrics.csv"]


def _read(path: Path) -> list[dict[str, float]]:
    """Numbers of rows that have a step; nothing of a file that cannot be read."""
    try:
        found = [dict(_numbers(cells)) for cells in read_cells(path)]
    except (FileNotFoundError, ConfigError):
        return []
    return [row for row in found if "step" in row]


def _numbers(cells: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    for name, cell in cells.items():
        with contextlib.suppress(ValueError):
            yield name, float(cell)
