"""The page is one HTML file that works offline, made from what the other modules find."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from robust.io.notes import Steps, sentences
from robust.report.album import Album, album
from robust.report.answers import answers, pills, table_rows
from robust.report.chart_data import Charts, overlaps, plot_trainings
from robust.report.charts import overlap_spec
from robust.report.comparisons import check_against
from robust.report.hints import hint
from robust.report.javascript import bundling
from robust.report.names import names_of
from robust.report.paired.adversarials import adversarials
from robust.report.paired.pairs import pairing
from robust.report.paired.thumbnails import first_images, thumbnail
from robust.report.papers import Papers, papers_of
from robust.report.protocols import Protocol, differing, protocols
from robust.report.sound import attempt, section, sound_protocols, sound_runs
from robust.results.cells import Cell, Content, as_html
from robust.results.colors import COLORS
from robust.results.metrics import Rate
from robust.results.rates import Z95
from robust.results.run_folder import Reader, RunFiles

_LARGEST = 4_900_000
"""Bytes of a page, as far as leaving out figures can achieve it."""
_FIGURES = 2_400_000
"""Bytes of figures, so that a page of few runs stays small."""
_TABLES = 12_000
"""Bytes that the tables of a run may take."""


def render(
    roots: Sequence[Path],
    tables: Path,
    reader: Reader | None = None,
    *,
    watched: bool = False,
    loose: bool = False,
    steps: Steps | None = None,
    against: Path | None = None,
) -> str:
    """Return the page of all runs in and below some folders.

    A part that cannot be shown is left out, and the page says so.

    Args:
        roots: Folders of runs.
        tables: Folder of tables of papers, or of papers such as ``papers``.
        reader: Keeps record files between pages.
        watched: Whether the page asks its server for a newer one.
        loose: Whether runs of another network or of other epochs are compared with papers, too.
        steps: Where left out parts are noted.
        against: Folder of the run that the others are compared with.

    Raises:
        ConfigError: If a folder does not exist, or none holds a run; or as `check_against`.
    """
    steps = steps or Steps()
    bundle = bundling()
    reference = None if against is None else against.resolve()
    extra = [] if against is None else [against]
    runs = sound_runs((reader or Reader()).read([*extra, *roots]), steps)
    names = names_of(runs)
    runs = [replace(run, name=name.short) for run, name in zip(runs, names, strict=True)]
    found = sound_protocols(attempt(steps, "All records", lambda: protocols(runs), []), steps)
    if reference is not None:
        check_against(runs, found, reference)
    charts = Charts(runs)
    sections = [section(charts, protocol, steps, reference) for protocol in found]
    trainings = plot_trainings(charts, steps)
    papers = attempt(
        steps, "Tables of papers", lambda: papers_of(tables, found, loose=loose), Papers([], [])
    )
    pairs = _pairs(found, steps)
    data = {
        "specs": {**charts.specs, "overlap": overlap_spec()},
        "charts": charts.charts,
        "overlaps": {
            protocol.key: attempt(
                steps,
                f"Images misclassified under two attacks, {protocol.title}",
                partial(overlaps, protocol),
                {"attacks": [], "counts": {}},
            )
            for protocol in found
        },
        "names": charts.names,
        "pairs": pairs,
        "z95": Z95,
    }
    script = Markup(bundle())
    packed = htmlsafe_json_dumps(data, separators=(",", ":"))
    room = _LARGEST - len(script) - len(packed) - _TABLES * len(runs)
    figures = attempt(
        steps, "Figures of runs", lambda: album(runs, min(room, _FIGURES)), Album([], [])
    )
    rows = table_rows(runs, found)
    answered = answers(rows)
    text: str = _template().render(
        album=figures,
        answers=answered,
        bundle=script,
        color=charts.color,
        colors=COLORS,
        configs=_settings(runs, steps),
        data=packed,
        kind=charts.kind,
        left_out=sentences(steps),
        made=datetime.now().astimezone(),
        named={name.short: name for name in names},
        names=charts.names,
        papers=papers.grids,
        pills=pills(answered),
        rows=rows,
        roots=[str(root) for root in roots],
        runs=runs,
        paired=list(pairs),
        sections=sections,
        strangers=papers.left_out,
        trainings=trainings,
        verdicts=sorted({e.verdict.word for p in found for e in p.entries}),
        views=[v for v in _VIEWS if any(v in protocol.views for protocol in found)],
        unfinished=[run for run in runs if run.missing],
        watched=watched,
    )
    return text


def _pairs(found: Sequence[Protocol], steps: Steps) -> dict[str, dict[str, Any]]:
    """Return what compares two runs, by protocol, with thumbnails of its images."""
    made: dict[str, dict[str, Any]] = {}
    for protocol in (protocol for protocol in found if len(protocol.entries) > 1):
        with steps.step(f"Two runs image by image, {protocol.title}"):
            sheet = first_images(protocol)
            made[protocol.key] = {
                **pairing(protocol),
                "thumbnails": thumbnail(sheet),
                "adversarials": adversarials(protocol, sheet),
            }
    return made


_VIEWS = ("adaptive", "deployed", "published", "transfer")


def _settings(runs: Sequence[RunFiles], steps: Steps) -> dict[str, dict[str, str]]:
    with steps.step("Settings that differ"):
        return differing({run.name: run.config for run in runs})
    return {}


def _template() -> Any:  # noqa: ANN401
    environment = Environment(
        loader=PackageLoader("robust.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["wrappable"] = _wrappable
    environment.filters["cell"] = _html
    environment.filters["hint"] = hint
    return environment.get_template("page.html")


def _html(content: Content | Rate) -> Markup:
    return Markup(as_html(Cell.from_rate(content) if isinstance(content, Rate) else content))


def _wrappable(name: str) -> Markup:
    """Return a name that may go on in the next line after each of its parts."""
    return Markup(re.sub(r"(?<=[/._])(?=\w)", "<wbr>", escape(name)))
