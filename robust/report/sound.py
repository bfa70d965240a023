"""Runs are shown as far as possible: a damaged run or a chart that fails costs no other."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from robust.io.notes import Steps
from robust.report.chart_data import Charts, plot_curves, plot_parallel, plot_pareto
from robust.report.comparisons import against, seeds
from robust.report.protocols import Entry, Protocol, differing
from robust.results.cells import Grid
from robust.results.run_folder import RunFiles
from robust.results.tables import comparison

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Section:
    """A section of the page shows one protocol.

    Args:
        protocol: The protocol.
        table: Success rates of every attack.
        curves: Charts of accuracy against eps.
        pareto: Chart of clean against robust accuracy, if there is one.
        sweep: Chart of the settings that differ, if there is one.
        against: Runs against one of them, if that is asked for.
        seeds: Configs that have several seeds, if there are any.
    """

    protocol: Protocol
    table: Grid
    curves: list[dict[str, str]]
    pareto: dict[str, str] | None
    sweep: dict[str, str] | None
    against: Grid | None = None
    seeds: Grid | None = None


def attempt(steps: Steps, what: str, make: Callable[[], _Made], otherwise: _Made) -> _Made:
    """Return what ``make`` makes, or ``otherwise`` if it fails, which ``steps`` notes."""
    with steps.step(what):
        return make()
    return otherwise


def sound_runs(runs: Sequence[RunFiles], steps: Steps) -> list[RunFiles]:
    """Return runs under unique names; a run whose files cannot be shown has only its name.

    Args:
        runs: Runs as they were read.
        steps: Where runs that cannot be shown are noted.
    """
    return [
        attempt(
            steps,
            f"What the files of {run.name} say",
            lambda run=run: _looked_at(run),  # type: ignore[misc]
            RunFiles(run.folder, run.name, missing=[*run.missing, "cannot be shown"]),
        )
        for run in _under_names_of_their_own(runs)
    ]


def _under_names_of_their_own(runs: Sequence[RunFiles]) -> list[RunFiles]:
    """Return runs whose folders are part of their names if two would have the same."""
    counts = Counter(run.name for run in runs)
    return [
        replace(run, name=_longer(run.folder, runs)) if counts[run.name] > 1 else run
        for run in runs
    ]


def _longer(folder: Path, runs: Sequence[RunFiles]) -> str:
    """Return the shortest end of its path that no other run has."""
    others = [other.folder.parts for other in runs if other.folder != folder]
    parts = folder.parts
    for count in range(2, len(parts)):
        if all(other[-count:] != parts[-count:] for other in others):
            return "/".join(parts[-count:])
    return str(folder)


def _looked_at(run: RunFiles) -> RunFiles:
    """Return the run after trying all that the page asks of it."""
    _ = run.defense, run.data, run.training, run.last("val/clean_acc")
    differing({"": run.config})
    return run


def sound_protocols(protocols: Sequence[Protocol], steps: Steps) -> list[Protocol]:
    """Return protocols with those runs whose records give all numbers of the page.

    Args:
        protocols: Protocols of all records.
        steps: Where the others are noted.
    """
    sound = []
    for protocol in protocols:
        entries = [e for e in protocol.entries if _gives_numbers(e, protocol, steps)]
        if entries:
            sound.append(replace(protocol, entries=entries))
    return sound


def _gives_numbers(entry: Entry, protocol: Protocol, steps: Steps) -> bool:
    def numbers() -> bool:
        _ = entry.clean, entry.robust, entry.worst, entry.verdict, entry.passes, entry.seconds
        return True

    return attempt(steps, f"{entry.label} under {protocol.title}", numbers, otherwise=False)


def section(
    charts: Charts, protocol: Protocol, steps: Steps, reference: Path | None = None
) -> Section:
    """Return what the page shows of a protocol, as far as it can be made.

    Args:
        charts: Where charts are kept.
        protocol: The protocol.
        steps: Where left out parts are noted.
        reference: Folder of the run that the others are compared with.
    """
    title = protocol.title
    return Section(
        protocol,
        attempt(
            steps,
            f"The table of every attack under {title}",
            lambda: comparison(protocol.evaluations, verdicts=protocol.verdicts),
            Grid(title, ["run"], [[entry.label] for entry in protocol.entries]),
        ),
        attempt(steps, f"Accuracy against eps, {title}", lambda: plot_curves(charts, protocol), []),
        attempt(steps, f"The Pareto front, {title}", lambda: plot_pareto(charts, protocol), None),
        attempt(
            steps, f"Settings that differ, {title}", lambda: plot_parallel(charts, protocol), None
        ),
        attempt(steps, f"The comparison, {title}", lambda: against(protocol, reference), None),
        attempt(steps, f"Several seeds, {title}", lambda: seeds(protocol), None),
    )
