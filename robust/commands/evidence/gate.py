"""Requirements of a command are judged, printed, and written for CI."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from robust.errors import ConfigError
from robust.io import files
from robust.io.names import printable
from robust.results.requirements.measured import Measured
from robust.results.requirements.reports import junit, sarif
from robust.results.requirements.requirement import exit_code, judge, requirements_grid


def gate(options: argparse.Namespace, runs: Mapping[str, Mapping[str, Measured]]) -> int:
    """Print whether the requirements hold, write the files for CI, and return the exit code.

    Args:
        options: With those of `robust.commands.options.gate`.
        runs: What was measured, by the names of the runs.

    Raises:
        ConfigError: If a file cannot be written.
    """
    if not options.require:
        return 0
    judged = judge(options.require, runs)
    requirements_grid(judged).print()
    for path, text in ((options.junit, junit(judged)), (options.sarif, sarif(judged))):
        if path is not None:
            write_named(path, text)
    return exit_code(judged)


def write_named(path: Path, text: str) -> None:
    """Write a file that the user named, and say so on standard error.

    Raises:
        ConfigError: If it cannot be written.
    """
    try:
        files.write_output(path, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(
            f"Expected to write {path}, but cannot ({error.strerror}). Choose another file."
        ) from None
    print(f"Written to {printable(path)}", file=sys.stderr)


def record_name(path: Path) -> str:
    """Return a record as messages name it: relative to the current folder, or below its run."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else "/".join(path.parts[-3:])
