"""A page shows tables of papers, and matches runs to their columns.

Classes are read from their source, so nothing that a run names is executed, without torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from robust.errors import ConfigError
from robust.io.notes import Steps, sentences
from robust.loading.classes import kind_in_source
from robust.loading.mismatches import Mismatch, heading, mismatch_notes, mismatches
from robust.loading.paper_tables import is_column, read_table
from robust.loading.parsing.fractions import read_yaml
from robust.loading.short_names import tables_in
from robust.report.protocols import Entry, Protocol
from robust.results.cells import Grid
from robust.results.published.cells import MEASURED
from robust.results.published.table import paper_table
from robust.vocabulary import DATA_SETS


class Papers(NamedTuple):
    """Tables of the papers as the page shows them.

    Args:
        grids: Numbers of a paper beside ours.
        left_out: Sentences on runs that are not compared with a paper.
    """

    grids: list[Grid]
    left_out: list[str]


def papers_of(folder: Path, protocols: Sequence[Protocol], *, loose: bool = False) -> Papers:
    """Return every table that has a column for some run.

    Columns are matched by the config of a run, since nothing is built here. If several runs fit a
    column, the one with most test images is shown, and a note says so.

    Args:
        folder: Tables such as those of ``papers/*/tables``, or papers that have them, such as
            ``papers``. There are none if there is no such folder.
        protocols: Records of all runs.
        loose: Whether runs of another network or of other epochs are shown as well, under
            "does not match".
    """
    entries = [entry for protocol in protocols for entry in protocol.entries]
    papers, steps = Papers([], []), Steps()
    for path in tables_in(folder):
        with steps.step(path.name):  # also a table of another version, or no table
            _add_table(papers, path, entries, loose=loose)
    papers.left_out.extend(sentences(steps))
    return papers


def _add_table(papers: Papers, path: Path, entries: Sequence[Entry], *, loose: bool) -> None:
    if read_yaml(path).get("metric") == MEASURED:  # which has no records
        return
    table = read_table(path, kind_in_source)
    suite = str(read_yaml(path.parent / str(table["suite"])).get("suite"))
    data = table.get("data") or _data_set(f"{path.stem} {suite}")
    chosen = [
        entry
        for entry in entries
        if entry.evaluation.header.suite == suite
        and data in (None, entry.evaluation.header.data)
        and table.get("view", "deployed") in entry.evaluation.views
        and entry.evaluation.header.source_view != "adaptive"  # stronger than a paper's attacker
    ]
    columns, notes, differing = _match(table, chosen, loose=loose)
    papers.left_out.extend(_strangers(table, chosen, loose=loose))
    if not columns:
        return
    evaluations = {name: entry.evaluation for name, entry in columns.items()}
    grid = paper_table(table, evaluations, adaptive=_adaptive(table, path, columns, entries))
    title = "; ".join(filter(None, [grid.title, heading(differing)]))
    notes = [*notes, *grid.notes, *mismatch_notes(table, differing)]
    papers.grids.append(Grid(title, grid.header, grid.rows, notes))


def _strangers(table: Mapping[str, Any], entries: Sequence[Entry], *, loose: bool) -> list[str]:
    """Return notes on runs that fit a column by their defense, but not by their network."""
    said: dict[str, None] = {}
    for column, wanted in table["columns"].items():
        for entry in entries if not loose else ():
            if _is(entry, wanted) and (found := _mismatches(table, column, entry)):
                listed = "; ".join(map(str, found))
                said[f"{table['title']}, {entry.run.name}: does not match: {listed}."] = None
    return list(said)


def _mismatches(table: Mapping[str, Any], column: str, entry: Entry) -> list[Mismatch]:
    run = {
        "model": entry.run.config["model"],
        "data_set": entry.evaluation.header.data,
        "epochs": entry.run.epoch + 1 if entry.run.epoch >= 0 else None,
    }
    return mismatches(table, column, run, kind_in_source)


def _data_set(text: str) -> str | None:
    """Return the data set in a name; the longest, since fashion_mnist contains mnist."""
    return max((name for name in DATA_SETS if name in text), key=len, default=None)


def _match(
    table: Mapping[str, Any], entries: Sequence[Entry], *, loose: bool
) -> tuple[dict[str, Entry], list[str], dict[str, list[Mismatch]]]:
    columns, notes, differing = {}, [], {}
    for column, wanted in table["columns"].items():
        found = [(e, _mismatches(table, column, e)) for e in entries if _is(e, wanted)]
        fitting = [pair for pair in found if loose or not pair[1]]
        if not fitting:
            continue
        best, differs = max(fitting, key=lambda p: (not p[1], "adaptive" in p[0].robust, p[0].n))
        columns[column], differing[column] = best, differs
        others = len({entry.run.folder for entry, _ in fitting}) - 1
        more = f", the one with most test images of {others + 1} such runs" if others else ""
        notes.append(f"{column}: {best.label}{more}, n = {best.n}, {best.verdict}.")
    return columns, notes, differing


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
    """Return records of the adaptive suite of a table, for the runs in its columns."""
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
