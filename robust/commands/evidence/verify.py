"""`robust verify`: what is on record stands, or a line names what does not."""

import importlib
from collections.abc import Sequence
from pathlib import Path

from robust.commands.options.card import verify_parser
from robust.errors import check_at_least
from robust.io.names import printable
from robust.io.streams import check_kept
from robust.loading.short_names import check_exists
from robust.report.card.sealed import read_card
from robust.report.card.verified import (
    Found,
    in_short,
    run_folders_in,
    verify_card,
    verify_records,
)

FAULTY = 3
"""Exit code where something does not stand."""


def verify(args: Sequence[str]) -> int:
    """Verify runs and cards, print what was found, and return the exit code.

    Args:
        args: What follows `robust verify`.

    Raises:
        ConfigError: If there is nothing to verify.
        SystemExit: After the help, and after flags that are wrong.
    """
    options = verify_parser().parse_args(args)
    check_at_least("--batch", options.batch, 1)
    found, folders = _files(options.runs)
    if not options.numbers:
        # A module that imports torch, which a card of numbers alone does not need.
        scoring = importlib.import_module("robust.commands.evidence.rescored")
        for folder in folders:
            found.append(scoring.rescore(folder, options.batch, options.trust))
    faults = [fault for each in found for fault in each.faults]
    for each in found:
        for sentence in each.looked:
            print(printable(f"looked at {sentence}"))
    for fault in in_short(faults):
        print(printable(f"does not stand: {fault}"))
    print(f"{len(faults)} do not stand." if faults else "All of it stands.")
    check_kept()
    return FAULTY if faults else 0


def _files(paths: Sequence[Path]) -> tuple[list[Found], list[Path]]:
    """Return what files and records say, and the folders of all runs."""
    found: list[Found] = []
    folders: list[Path] = []
    for path in paths:
        check_exists(path, "a run folder or a card.json")
        if path.is_dir():
            own = run_folders_in([path])
        else:
            result, own = verify_card(read_card(path), path.parent)
            found.append(result)
        folders += [folder for folder in own if folder not in folders]
    return [*found, *map(verify_records, folders)], folders
