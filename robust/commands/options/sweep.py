"""The flags of `robust sweep`, and whether Optuna is there."""

import argparse
import importlib.util
from pathlib import Path

from robust.commands.options.parser import OneLineParser
from robust.errors import ConfigError, how_to_install
from robust.io.text_files import expanded
from robust.loading.short_names import check_exists, find
from robust.loading.trust import taken
from robust.sweep.process import parse_slots

_EPILOG = """What follows -- is added to the command of every run.

example: robust sweep temperature --workers 2 -- --trainer.max_epochs=2
"""


def parse(args: list[str]) -> argparse.Namespace:
    """Return what to run and how; `flags` are those of the runs, after ``--``.

    Raises:
        ConfigError: If a short name is unknown.
    """
    split = args.index("--") if "--" in args else len(args)
    parser = sweep_parser()
    options = parser.parse_args(args[:split])
    try:
        options.slots = parse_slots(options.slots) if options.slots else None
    except ConfigError as error:
        parser.error(str(error))
    options.file = find(options.file, "sweep")
    options.root = expanded(options.root)
    options.flags = args[split + 1 :]
    return options


def sweep_parser() -> OneLineParser:
    """Return the parser of `robust sweep`."""
    parser = OneLineParser(
        prog="robust sweep",
        usage="%(prog)s NAME [options] [-- flags of train.py]",
        description="Run a W&B sweep file here, without a server. The same command goes on where "
        "it stopped, also beside others of it, on several machines. What is on record is not run "
        "again.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", metavar="NAME", help="short name or YAML file of a sweep")
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--slots",
        metavar="SLOT,...",
        help="where runs go, one in each at a time: gpu:0,gpu:1 or, of two GPUs each, gpu:0+1; "
        "default: every GPU there is",
    )
    places.add_argument(
        "--workers", metavar="N", type=_positive, help="so many runs at a time, sharing the cores"
    )
    parser.add_argument(
        "--count",
        metavar="N",
        type=_positive,
        help="number of runs in all; default: the file's run_cap",
    )
    parser.add_argument(
        "--root",
        metavar="FOLDER",
        type=Path,
        default=Path("runs"),
        help="folder of all runs; default: runs",
    )
    parser.add_argument(
        "--max-failures",
        metavar="N",
        type=_positive,
        default=3,
        help="the sweep ends when so many runs in a row fail; default: 3",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="database of the study, such as sqlite:///sweeps.db; default: a journal in its folder",
    )
    parser.add_argument(
        "--pareto",
        action="store_true",
        help="search for the Pareto front of clean and adaptive accuracy, not for the best metric",
    )
    parser.add_argument(
        "--sampler",
        choices=["tpe", "gp"],
        default="tpe",
        help="how bayes searches: Parzen estimators or a Gaussian process; default: tpe",
    )
    parser.add_argument(
        "--seed", metavar="N", type=_seed, default=0, help="of random search and bayes; default: 0"
    )
    parser.add_argument("--retry", action="store_true", help="run those again that failed")
    parser.add_argument(
        "--trust-command",
        action="store_true",
        help="run the file's `program` and `command` even if they are not train.py or robust",
    )
    parser.add_argument(
        "--trust", metavar="PACKAGE", help="files may name classes of this package, too"
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, but got {text}")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"expected 0 to 2^32 - 1, but got {text}")
    return value


def check(args: list[str]) -> None:
    """Raise for what is wrong with a sweep before torch is imported.

    Raises:
        ConfigError: If a short name or file is unknown, or Optuna is not installed.
    """
    check_exists(parse(taken(args)[1]).file)
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(
            "Expected Optuna, with which a sweep searches and keeps its runs, but it is not "
            f"installed. {how_to_install('sweep')}"
        )
