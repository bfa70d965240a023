"""Which tables of the papers a page can show, and which run is which of their columns.

Classes are read in their source: nothing that a run names is executed, and no page waits for torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robust.errors import ConfigError
from robust.evaluation.tables import MEASURED, Grid, published
from robust.fractions import read_yaml
from robust.kinds import kind_in_source
from robust.papers import is_column, read_table
from robust.report.derive import Entry, Protocol
from robust.words import DATA_SETS


def paper_tables(folder: Path, protocols: Sequence[Protocol]) -> list[Grid]:
    """Published, measured and adaptive numbers of every table that some runs are of.

    Columns are matched by the config of a run, since nothing is built here. Where several runs are
    one column, that with most test images stands for all, and a note says so.

    Args:
        folder: Files such as those of ``configs/tables``; none if there is no such folder.
        protocols: Records of all runs.
    """
    entries = [entry for protocol in protocols for entry in protocol.entries]
    grids = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            grids += _table(path, entries)
        except ConfigError:  # not a table, or one of another version
            continue
    return grids


def _table(path: Path, entries: Sequence[Entry]) -> list[Grid]:
    if read_yaml(path).get("metric") == MEASURED:  # which leaves no records
        return []
    table = read_table(path, kind_in_source)
    suite = str(read_yaml(path.parent / str(table["suite"])).get("suite"))
    data = _data_set(f"{path.stem} {suite}")
    chosen = [
        entry
        for entry in entries
        if entry.evaluation.header.suite == suite
        and data in (None, entry.evaluation.header.data)
        and table.get("view", "deployed") in entry.evaluation.views
        and entry.evaluation.header.source_view != "adaptive"  # stronger than a paper's attacker
    ]
    columns, notes = _match(table, chosen)
    if not columns:
        return []
    evaluations = {name: entry.evaluation for name, entry in columns.items()}
    grid = published(table, evaluations, adaptive=_adaptive(table, path, columns, entries))
    return [Grid(grid.title, grid.header, grid.rows, [*notes, *grid.notes])]


def _data_set(text: str) -> str | None:
    """The data set that a name speaks of; the longest, since fashion_mnist speaks of mnist too."""
    return max((name for name in DATA_SETS if name in text), key=len, default=None)


def _match(
    table: Mapping[str, Any], entries: Sequence[Entry]
) -> tuple[dict[str, Entry], list[str]]:
    columns, notes = {}, []
    for column, wanted in table["columns"].items():
        fitting = [entry for entry in entries if _is(entry, wanted)]
        if not fitting:
            continue
        best = max(fitting, key=lambda entry: ("adaptive" in entry.robust, entry.n))
        columns[column] = best
        others = len({entry.run.folder for entry in fitting}) - 1
        more = f", the one with most test images of {others + 1} such runs" if others else ""
        notes.append(f"{column}: {best.label}{more}, n = {best.n}, {best.verdict}.")
    return columns, notes


def _is(entry: Entry, wanted: Mapping[str, Any]) -> bool:
    config = entry.run.config
    named = [isinstance(config.get(part), dict) for part in ("model", "data")]
    if not all(named) or "class_path" not in config["model"]:
        return False
    try:
        return is_column(wanted, config, kind_in_source)
    except ConfigError:  # a run of a class that this version does not have
        return False


def _adaptive(
    table: Mapping[str, Any], path: Path, columns: Mapping[str, Entry], entries: Sequence[Entry]
) -> dict[str, Any]:
    """Records of the adaptive suite that a table may name, of the runs in its columns."""
    if "adaptive_suite" not in table:
        return {}
    suite = read_yaml(path.parent / str(table["adaptive_suite"])).get("suite")
    return {
        column: entry.evaluation
        for column, chosen in columns.items()
        for entry in entries
        if entry.run is chosen.run
        and entry.evaluation.header.suite == suite
        and "adaptive" in entry.evaluation.views
    }
