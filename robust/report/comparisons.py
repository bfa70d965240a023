"""Runs on the page against one of them, several seeds as one row, and what requirements see."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from robust.errors import ConfigError
from robust.report.protocols import Entry, Protocol
from robust.results.cells import Grid
from robust.results.comparing.against import Against, Named, against_grid, check_same_images
from robust.results.comparing.seeds import Seeded, seeds_grid
from robust.results.requirements.measured import Measured, of_numbers, of_records
from robust.results.run_folder import RunFiles


def check_against(runs: Sequence[RunFiles], found: Sequence[Protocol], reference: Path) -> None:
    """Raise unless some run can be compared with another one.

    Args:
        runs: All runs.
        found: Their protocols.
        reference: Folder of the run that the others are compared with.

    Raises:
        ConfigError: If it has no records, shares no protocol with any run, or a run was attacked
            with the same suite on other images.
    """
    own = next((run for run in runs if run.folder == reference), None)
    if own is None or not own.evaluations:
        name = own.name if own else reference.name
        raise ConfigError(
            f"Expected records of the run to compare with, but {name} has none. Evaluate it first."
        )
    compared = {e.run.folder for p in found for e in p.entries if _reference(p, reference)}
    for run in runs:
        if run.folder not in compared:
            _check_images(run, own)
    if compared == {reference}:
        raise ConfigError(
            f"Expected a run that was attacked as {own.name} was, but got none. Evaluate one with "
            "the same suite on the same data."
        )


def against(protocol: Protocol, reference: Path | None) -> Grid | None:
    """Return the table of a protocol's runs against one of them; None if it is not among them."""
    other = None if reference is None else _reference(protocol, reference)
    if other is None:
        return None
    comparisons = {
        entry.label: Against(
            Named(entry.label, entry.evaluation), Named(other.label, other.evaluation)
        )
        for entry in protocol.entries
        if entry.run.folder != reference
    }
    return against_grid(comparisons) if comparisons else None


def seeds(protocol: Protocol) -> Grid | None:
    """Return the table of a protocol's configs that have several seeds; None without one."""
    return seeds_grid([Seeded(e.label, e.run.config, e.evaluation) for e in protocol.entries])


def measured(
    found: Sequence[Protocol], reference: Path | None = None
) -> dict[str, dict[str, Measured]]:
    """Return what is on record of each run under each protocol, as requirements name it.

    Args:
        found: The protocols.
        reference: Folder of a run that others are only compared with, which is left out.
    """
    return {
        f"{entry.label}, {protocol.title}": _measured(entry)
        for protocol in found
        for entry in protocol.entries
        if entry.run.folder != reference
    }


def record_of(entry: Entry) -> str:
    """Return the name of the records of an entry, below the folder that was searched."""
    header = entry.evaluation.header
    return f"{entry.run.name}/records/{header.suite}-{header.fingerprint}.csv"


def _measured(entry: Entry) -> dict[str, Measured]:
    logged = {name: entry.run.last(name) for name in entry.run.metrics if name.startswith("test/")}
    attacks = entry.evaluation.header.attacks
    numbers = of_numbers(logged, f"{entry.run.name}/metrics.csv", attacks)
    return numbers | of_records(entry.evaluation, record_of(entry))


def _reference(protocol: Protocol, folder: Path) -> Entry | None:
    """Return the newest entry of a run."""
    return next(reversed([e for e in protocol.entries if e.run.folder == folder]), None)


def _check_images(run: RunFiles, own: RunFiles) -> None:
    for one, other in _same_suite(run, own):
        check_same_images(one, other)


def _same_suite(run: RunFiles, own: RunFiles) -> Iterator[tuple[Named, Named]]:
    for mine in run.evaluations.values():
        for theirs in own.evaluations.values():
            if mine.header.suite == theirs.header.suite:
                yield Named(run.name, mine), Named(own.name, theirs)
