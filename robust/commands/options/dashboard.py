"""The flags of `robust dashboard`."""

import argparse
from collections.abc import Sequence

from robust.commands.options.parser import OneLineParser

PROJECT = "robust-defenses"
"""The project of a run that names no other."""


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    """Return whose runs to compare, and whether to save it."""
    return dashboard_parser().parse_args(args)


def dashboard_parser() -> OneLineParser:
    """Return the parser of `robust dashboard`."""
    parser = OneLineParser(
        prog="robust dashboard",
        description="Save a workspace and a report that compare the runs of a W&B project.",
    )
    parser.add_argument("--entity", metavar="NAME", help="user or team; default: that of your key")
    parser.add_argument("--project", metavar="NAME", default=PROJECT, help="default: %(default)s")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be saved; needs no account"
    )
    parser.add_argument(
        "--json", action="store_true", help="the same as JSON, complete; saves nothing either"
    )
    return parser
