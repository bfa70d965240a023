"""The flags of `robust reproduce`, and the steps that a paper's `reproduce.sh` plans."""

import argparse
import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import NamedTuple

from robust.commands.options.parser import OneLineParser
from robust.errors import ConfigError
from robust.loading.messages import nearest
from robust.loading.parsing.fractions import read_yaml
from robust.loading.short_names import home, known
from robust.loading.trust import shown
from robust.vocabulary import DATA_SETS

SCALES = ("smoke", "cpu", "paper")
_OWN = ("ASIDE", "ATTACKS", "LIST", "PLAN", "RESULTS", "ROOT", "SCALE")
"""Variables of `papers/steps.sh` that only we set here."""


class Part(NamedTuple):
    """A part of a paper, such as a table."""

    name: str
    hours: float | None
    """None if it is left out at this scale."""
    what: str


class Plan(NamedTuple):
    """What to do for a paper, in order."""

    lines: list[str]
    """Commands of a shell, and comments on them."""
    hours: float

    @property
    def steps(self) -> list[list[str]]:
        """The words of each command."""
        return [shlex.split(line) for line in self.lines if not line.startswith("#")]


def parse(args: Sequence[str]) -> argparse.Namespace:
    """Return what to reproduce; `parts` holds the names of the parts that were asked for.

    Raises:
        ConfigError: If there is no such paper or part, or it is not of this scale.
    """
    options = reproduce_parser().parse_args(args)
    _check_known("paper", options.paper, papers())
    every = parts(options.paper, options.scale)
    if options.part is None:
        options.parts = list(every)
        return options
    prefix = f"{options.paper}_"
    asked = options.part.removeprefix(prefix)
    names = {asked, *(f"{asked}_{data}" for data in DATA_SETS)}
    options.parts = [name for name in every if name in names]
    if not options.parts:
        _check_known(f"part of {options.paper}", asked, every)
    if all(every[name].hours is None for name in options.parts):
        name = options.parts[0]
        raise ConfigError(
            f"Expected a part of {options.paper} at scale {options.scale}, but {name} takes "
            f"longer. Its scales: {', '.join(_scales(options.paper, name))}."
        )
    return options


def _scales(paper: str, part: str) -> Iterator[str]:
    return (scale for scale in SCALES if parts(paper, scale)[part].hours is not None)


def _check_known(what: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise ConfigError(
            f"Expected a {what}, but got {shown(name)!r}.{nearest(name, names)} Expected one of "
            f"{', '.join(names)}."
        )


def papers() -> list[str]:
    """Return the papers that can be reproduced."""
    return sorted(path.parent.name for path in (home() / "papers").glob("*/reproduce.sh"))


def parts(paper: str, scale: str) -> dict[str, Part]:
    """Return the parts of a paper by name.

    Raises:
        ConfigError: If there is no bash.
    """
    told = (line.split("\t") for line in _lines(paper, scale, LIST="1"))
    return {
        name: Part(name, None if hours == "-" else float(hours), what) for name, hours, what in told
    }


def plan(options: argparse.Namespace) -> Plan:
    """Return what to do; a step that several parts need comes once.

    Raises:
        ConfigError: If no row of the tables matches.
    """
    chosen: dict[str, Sequence[str]] = {name: () for name in options.parts}
    if options.rows:
        chosen = _with_rows(options)
    lines: dict[str, None] = {}
    for name, attacks in chosen.items():
        found = _lines(options.paper, options.scale, name, PLAN="1", ATTACKS=" ".join(attacks))
        lines.update(dict.fromkeys(found))
    every = parts(options.paper, options.scale)
    return Plan(list(lines), sum(every[name].hours or 0 for name in chosen))


def _with_rows(options: argparse.Namespace) -> dict[str, Sequence[str]]:
    """Return those attacks of each part's table whose rows are asked for."""
    rows = {name: _rows(options.paper, name) for name in options.parts}
    chosen = {
        name: list(dict.fromkeys(a for row, a in of.items() if _matches(options.rows, row, a)))
        for name, of in rows.items()
    }
    if not any(chosen.values()):
        names = dict.fromkeys(name for of in rows.values() for pair in of.items() for name in pair)
        raise ConfigError(
            f"Expected rows of a table of {options.paper}, but got "
            f"{shown(' '.join(options.rows))!r}.{nearest(options.rows[0], names)} A row is named "
            "as in the table or by its attack, or by the first word of either; patterns such as "
            "'bim*' work."
        )
    return {name: attacks for name, attacks in chosen.items() if attacks}


def _matches(patterns: Sequence[str], *names: str) -> bool:
    """Whether a name fits a pattern, or begins with it as a word: ``bim`` is all of BIM."""
    pairs = ((name.lower(), pattern.lower()) for name in names for pattern in patterns)
    return any(
        fnmatch(name, pattern) or name.startswith((f"{pattern} ", f"{pattern}_"))
        for name, pattern in pairs
    )


def _rows(paper: str, part: str) -> Mapping[str, str]:
    """Return the attacks of the table that a part is of, by row; none of a measured table."""
    fitting = [name for name in known("table") if f"{paper}_{part}".startswith(name)]
    if not fitting:
        return {}
    rows = read_yaml(known("table")[max(fitting, key=len)])["rows"]
    return {name: row["attack"] for name, row in rows.items() if "attack" in row}


def _lines(paper: str, scale: str, *words: str, **settings: str) -> list[str]:
    """Return what the script of a paper prints."""
    script = home() / "papers" / paper / "reproduce.sh"
    inherited = {key: value for key, value in os.environ.items() if key not in _OWN}
    try:
        done = subprocess.run(
            ["bash", script, *words],
            env={**inherited, "SCALE": scale, **settings},
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError:
        raise ConfigError("Expected bash on PATH, which reads reproduce.sh. Install it.") from None
    return done.stdout.splitlines()


def reproduce_parser() -> OneLineParser:
    """Return the parser of `robust reproduce`."""
    parser = OneLineParser(
        prog="robust reproduce",
        usage="%(prog)s PAPER [PART] [options]",
        description="Train the networks of a paper, attack them, and print its tables beside the "
        "paper's numbers. The same command goes on where it stopped. Runs are in "
        "runs/papers/PAPER/SCALE, and numbers of tables in papers/PAPER/results.csv.",
        epilog=f"""papers: {", ".join(papers())}

scales:
  smoke   minutes; shows that everything runs, and its numbers mean nothing
  cpu     hours on two cores; the numbers of papers/PAPER/README.md
  paper   networks, epochs and images of the paper; hours on a GPU

examples:
  robust reproduce tuna2022 --scale smoke
  robust reproduce saito2018 table5 --rows bim --dry-run
""",
    )
    parser.add_argument("paper", metavar="PAPER", help="such as tuna2022")
    parser.add_argument(
        "part",
        metavar="PART",
        nargs="?",
        help="such as table1; default: all; table5 is that of all data sets",
    )
    rows = "only these rows of tables, by name, attack, first word or pattern"
    parser.add_argument("--rows", nargs="+", metavar="ROW", help=rows)
    parser.add_argument("--scale", choices=SCALES, default="cpu", help="default: cpu")
    dry = "print the commands and run none of them"
    parser.add_argument("--dry-run", action="store_true", help=dry)
    return parser
