"""The page: one HTML file that needs no network, put together from what the other modules find."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from robust.evaluation.colors import COLORS
from robust.evaluation.metrics import Rate
from robust.evaluation.tables import Grid, comparison
from robust.report.bundle import bundling
from robust.report.charts import overlap_spec
from robust.report.collect import Reader, RunFiles
from robust.report.derive import Entry, Protocol, differing, protocols
from robust.report.drawn import (
    Charts,
    draw_curves,
    draw_parallel,
    draw_pareto,
    draw_trainings,
    overlaps,
    percent,
)
from robust.report.pictures import album
from robust.report.published import paper_tables

_LARGEST = 4_900_000
"""Bytes of a page, as far as leaving out pictures can keep it so small."""
_PICTURES = 2_400_000
"""Bytes of pictures, which a page of few runs could fill for nothing."""
_TABLES = 12_000
"""Bytes that the tables of a run may take."""
_FEW = 100
"""Test images below which a row says so."""
_INTERVAL = re.compile(r"\d+\.\d-\d+\.\d")


@dataclass(frozen=True)
class Section:
    """What the page shows of one protocol.

    Args:
        protocol: The protocol.
        table: Success rates of every attack.
        curves: Charts of accuracy against eps.
        pareto: Chart of clean against robust accuracy, if there is one.
        sweep: Chart of the settings that differ, if there is one.
    """

    protocol: Protocol
    table: Grid
    curves: list[dict[str, str]]
    pareto: dict[str, str] | None
    sweep: dict[str, str] | None


def render(
    roots: Sequence[Path], tables: Path, reader: Reader | None = None, *, watched: bool = False
) -> str:
    """The page over all runs in and below some folders.

    Args:
        roots: Folders of runs.
        tables: Folder of the tables of the papers, such as ``configs/tables``.
        reader: Keeps record files between pages.
        watched: Whether the page asks its server for a newer one.

    Raises:
        ConfigError: If a folder does not exist, or none holds a run.
    """
    bundle = bundling()
    runs = (reader or Reader()).read(roots)
    found = protocols(runs)
    charts = Charts(runs)
    sections = [
        Section(
            protocol,
            comparison(protocol.evaluations),
            draw_curves(charts, protocol),
            draw_pareto(charts, protocol),
            draw_parallel(charts, protocol),
        )
        for protocol in found
    ]
    trainings = draw_trainings(charts)
    data = {
        "specs": {**charts.specs, "overlap": overlap_spec()},
        "charts": charts.drawn,
        "overlaps": {protocol.key: overlaps(protocol) for protocol in found},
        "names": charts.names,
    }
    script = Markup(bundle())
    packed = htmlsafe_json_dumps(data, separators=(",", ":"))
    room = _LARGEST - len(script) - len(packed) - _TABLES * len(runs)
    configs = {run.name: run.config for run in runs}
    text: str = _template().render(
        album=album(runs, min(room, _PICTURES)),
        bundle=script,
        color=charts.color,
        colors=COLORS,
        configs=differing(configs),
        data=packed,
        kind=charts.kind,
        made=datetime.now().astimezone(),
        names=charts.names,
        papers=paper_tables(tables, found),
        rows=_rows(runs, found),
        roots=[str(root) for root in roots],
        runs=runs,
        sections=sections,
        trainings=trainings,
        verdicts=Counter(e.verdict.word for p in found for e in p.entries),
        views=[v for v in _VIEWS if any(v in protocol.views for protocol in found)],
        unfinished=[run for run in runs if run.missing],
        watched=watched,
    )
    return text


_VIEWS = ("adaptive", "deployed", "published", "transfer")


@dataclass(frozen=True)
class _TableRow:
    """A run under a protocol, or one without records."""

    run: RunFiles
    protocol: Protocol | None = None
    entry: Entry | None = None

    @property
    def few(self) -> bool:
        """Whether so few images were attacked that the rates say little."""
        return self.entry is not None and self.entry.n < _FEW


def _rows(runs: Sequence[RunFiles], found: Sequence[Protocol]) -> list[_TableRow]:
    rows = [
        _TableRow(entry.run, protocol, entry)
        for protocol in found
        for entry in sorted(protocol.entries, key=_rank, reverse=True)
    ]
    attacked = {row.run.folder for row in rows}
    return rows + [_TableRow(run) for run in runs if run.folder not in attacked]


def _rank(entry: Entry) -> tuple[bool, float]:
    rate = entry.robust.get("adaptive", entry.worst)
    return "adaptive" in entry.robust, rate.value


def _template() -> Any:  # noqa: ANN401
    environment = Environment(
        loader=PackageLoader("robust.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"lines": _lines, "rate": _rate}
    return environment.get_template("page.html")


def _lines(cell: str) -> list[tuple[str, bool]]:
    """The lines of a cell, and whether each is an interval, or empty beside one."""
    return [(line, bool(_INTERVAL.fullmatch(line) or not line)) for line in cell.split("\n")]


def _rate(rate: Rate) -> tuple[str, str, str]:
    """In %, and the bounds of its interval."""
    value, low, high = (f"{number:.1f}" for number in percent(rate))
    return value, low, high
