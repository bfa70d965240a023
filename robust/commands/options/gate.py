"""Flags that make a command a gate: its exit code says whether requirements hold."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robust.errors import ConfigError
from robust.io.text_files import expanded
from robust.results.requirements.requirement import Requirement

MORE = {
    "require": "such as 'adaptive.robust>=0.45', also clean, deployed.robust, certified@0.5 or "
    "unit_test; may be repeated; exit code 3 if one does not hold, 4 if that cannot be told",
    "junit": "the outcomes of --require in JUnit's XML",
    "sarif": "those that do not hold in SARIF",
}


def add_to(add: Callable[..., Any], *, hidden: bool = False) -> None:
    """Add the flags of requirements.

    Args:
        add: Adds an argument to a parser.
        hidden: Whether the short help leaves them out.
    """

    def told(name: str) -> str:
        return argparse.SUPPRESS if hidden else MORE[name]

    add("--require", action="append", default=[], metavar="WHAT", help=told("require"))
    add("--junit", type=Path, metavar="FILE", help=told("junit"))
    add("--sarif", type=Path, metavar="FILE", help=told("sarif"))


def settle(options: argparse.Namespace) -> None:
    """Read the requirements.

    Raises:
        ConfigError: If one cannot be read, or a file is named for outcomes of none.
    """
    options.require = [Requirement.parse(text) for text in options.require]
    for flag in ("junit", "sarif"):
        path: Path | None = getattr(options, flag)
        if path is None:
            continue
        if not options.require:
            raise ConfigError(
                f"Expected requirements for --{flag}, but got none. Add --require "
                "'adaptive.robust>=0.45'."
            )
        setattr(options, flag, expanded(path))
