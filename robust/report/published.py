"""Which tables of the papers a page can show, and which run is which of their columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robust.errors import ConfigError
from robust.evaluation.tables import Grid, published
from robust.fractions import read_yaml
from robust.report.derive import Entry, Protocol


def paper_tables(folder: Path, protocols: Sequence[Protocol]) -> list[Grid]:
    """Published, measured and adaptive numbers of every table that some runs are of.

    Columns are matched by the config of a run, since nothing is built here. Where several runs are
    one column, that with most test images stands for all, and a note says so.

    Args:
        folder: Files such as those of ``configs/tables``; none if there is no such folder.
        protocols: Records of all runs.
    """
    entries = [entry for protocol in protocols for entry in protocol.entries]
    attacked = {entry.evaluation.header.suite for entry in entries}
    defenses = {str(entry.run.setting("model.class_path", "")) for entry in entries}
    suites: dict[Path, str] = {}
    grids = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            content = read_yaml(path)
            named = content.get("suite")
            # A measurement leaves no records. Classes are loaded only where one may be ours.
            if named is None or not _defenses_of(content) & defenses:
                continue
            file = (path.parent / str(named)).resolve()
            suite = suites.setdefault(file, "") or str(read_yaml(file).get("suite", "none"))
            suites[file] = suite
            if suite in attacked:
                grids += _table(path, suite, entries)
        except ConfigError:  # not a table, or one of another version
            continue
    return grids


def _defenses_of(table: Mapping[str, Any]) -> set[str]:
    """The classes of a table's columns; those of ours are final, so a run is of no subclass."""
    columns = table.get("columns")
    described = columns.values() if isinstance(columns, dict) else []
    return {str(column.get("class_path")) for column in described if isinstance(column, dict)}


def _table(path: Path, suite: str, entries: Sequence[Entry]) -> list[Grid]:
    from robust.papers import read_table  # seconds, for the classes that tables name

    table = read_table(path)
    data = _data_set(f"{path.stem} {suite}")
    chosen = [
        entry
        for entry in entries
        if entry.evaluation.header.suite == suite
        and data in (None, entry.evaluation.header.data)
        and table.get("view", "deployed") in entry.evaluation.views
    ]
    columns, notes = _match(table, chosen)
    if not columns:
        return []
    evaluations = {name: entry.evaluation for name, entry in columns.items()}
    grid = published(table, evaluations, adaptive=_adaptive(table, path, columns, entries))
    return [Grid(grid.title, grid.header, grid.rows, [*notes, *grid.notes])]


def _data_set(text: str) -> str | None:
    """The data set that a name speaks of; the longest, since fashion_mnist speaks of mnist too."""
    from robust.data.datasets import DATASETS

    return max((name for name in DATASETS if name in text), key=len, default=None)


def _match(
    table: Mapping[str, Any], entries: Sequence[Entry]
) -> tuple[dict[str, Entry], list[str]]:
    from robust.papers import match_columns

    columns, notes = {}, []
    for column, wanted in table["columns"].items():
        one = {"title": table["title"], "columns": {column: wanted}}
        fitting = [e for e in entries if _is_ours(e) and match_columns(one, {"": e.run.config})]
        if not fitting:
            continue
        best = max(fitting, key=lambda entry: ("adaptive" in entry.robust, entry.n))
        columns[column] = best
        others = len({entry.run.folder for entry in fitting}) - 1
        more = f", the one with most test images of {others + 1} such runs" if others else ""
        notes.append(f"{column}: {best.label}{more}, n = {best.n}, {best.verdict}.")
    return columns, notes


def _is_ours(entry: Entry) -> bool:
    # The config of a run folder may name any class; none is imported to be asked what it is.
    named = str(entry.run.setting("model.class_path", ""))
    return named.startswith("robust.") and "data" in entry.run.config


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
