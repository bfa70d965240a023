"""The flags of `robust card` and of `robust verify`."""

from pathlib import Path

from robust.commands.options.parser import OneLineParser
from robust.report.card.content import NOT_STATED
from robust.report.card.exports import EXPORTS

_CARD = """Write what is handed in with a robust accuracy: DIR/card.json, .md, .html and .tex.
Every number names the record that it is derived from."""
_VERIFY = """Verify what is on record: hashes are computed again, numbers are derived again, and
kept adversarial images are scored again. Exit code 3 if anything does not stand."""


def card_parser() -> OneLineParser:
    """Return the parser of `robust card`."""
    parser = OneLineParser(prog="robust card", description=_CARD)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run folders, or folders of them"
    )
    folder = "default: card"
    parser.add_argument("-o", "--output", type=Path, default="card", metavar="DIR", help=folder)
    parser.add_argument(
        "--format",
        action="append",
        default=[],
        choices=list(EXPORTS),
        metavar="NAME",
        help=f"also a file for a leaderboard: {' or '.join(EXPORTS)}",
    )
    for flag, what in (("--trained-by", "who trained the network"), ("--licence", "its licence")):
        parser.add_argument(flag, default=NOT_STATED, metavar="TEXT", help=what)
    return parser


def verify_parser() -> OneLineParser:
    """Return the parser of `robust verify`."""
    parser = OneLineParser(prog="robust verify", description=_VERIFY)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run folder, or a card.json"
    )
    parser.add_argument(
        "--numbers", action="store_true", help="hashes and numbers alone, without the network"
    )
    parser.add_argument(
        *("-b", "--batch"),
        type=int,
        default=7,
        metavar="N",
        help="images scored at once; default: 7",
    )
    trust = "files may name classes of this package, too"
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE", help=trust)
    return parser
