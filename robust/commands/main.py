"""The command `robust`: one door to all that can be done from a terminal."""

import importlib.metadata
import sys
from collections.abc import Callable, Sequence

from robust.commands import listing
from robust.commands.options import draw, measure, train
from robust.commands.reproduce import reproduce
from robust.commands.start import begin, refuse, run
from robust.errors import ConfigError
from robust.io.streams import check_kept, code_of, make_usable, print_all
from robust.loading.messages import nearest
from robust.loading.trust import shown

HELP = """usage: robust COMMAND [arguments]

Train adversarial defenses, attack them, and compare the runs.

train and attack:
  train DEFENSE      train a defense, then attack it
  evaluate RUN...    attack trained runs and compare them
  measure WHAT RUN   robustness, certify, lipschitz or attack_unit_test
  sweep NAME         train with many settings, here and without a server
  reproduce PAPER    all of a paper's tables beside its numbers

look at results:
  draw FIGURE RUN    figures that need no suite of attacks
  report FOLDER...   a page that compares runs and needs no network
  card RUN...        evidence to hand in: card.json, .md, .html and .tex
  verify RUN|CARD    whether records, numbers and adversarial images stand
  dashboard          a workspace and a report at Weights & Biases

find names:
  list KIND          defenses, attacks, suites, data, tables, networks or sweeps
  completion SHELL   a script for bash or zsh that completes all this

full control:
  fit, validate, test    as train.py: every flag of the trainer and the config

options:
  --help             this help; `robust COMMAND --help` for one command
  --version          the version

Configs, data, suites, tables and sweeps go by short names, such as squeezed,
or by paths, such as mine.yaml.

examples:
  robust train squeezed --data digits --epochs 5 --id first
  robust evaluate runs/squeezed/first --suite quick --limit 200
  robust report runs
"""
_Arguments = list[str]


def main(args: Sequence[str] | None = None) -> int:
    """Run `robust`.

    Args:
        args: What follows it; the arguments of the process if None.

    Returns:
        The exit code: 2 after an error that the user can fix; 141 if nobody reads on.

    Raises:
        SystemExit: After the help of one command, as argparse ends it.
    """
    if args is None:
        begin()
    make_usable()
    words = list(sys.argv[1:] if args is None else args)
    try:
        code = _dispatch(words, is_process=args is None)
        sys.stdout.flush()
        return code
    except ConfigError as error:
        return refuse(error)
    except OSError as error:
        found = code_of(error)
        if found is None:
            raise
        return found


def version() -> str:
    """Return the version of the installed package; `unknown` where it is not installed."""
    try:
        return importlib.metadata.version("robust-defenses")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _dispatch(words: _Arguments, *, is_process: bool) -> int:
    command, rest = (words[0], words[1:]) if words else ("--help", [])
    if command in train.SUBCOMMANDS:
        return _train(words, is_process=is_process)
    if command == "train":
        return _train(train.translated(rest), is_process=is_process, short=True)
    if command in _COMMANDS:
        return _COMMANDS[command](rest)
    known = [*_COMMANDS, "train", *train.SUBCOMMANDS]
    commands = ", ".join(sorted(name for name in known if not name.startswith("-")))
    raise ConfigError(
        f"There is no command {shown(command)!r}.{nearest(command, known)} Expected one of "
        f"{commands}."
    )


def _train(words: _Arguments, *, is_process: bool, short: bool = False) -> int:
    """Run `train.py`; processes that it starts read their arguments from this process."""
    if not is_process:
        return run("train", words, short=short)
    sys.argv[1:] = words
    return run("train", short=short)


def _measure(words: _Arguments) -> int:
    if "--help" in words or "-h" in words:
        return _print(measure.HELP)
    return run("evaluate", measure.translated(words))


def _plot(words: _Arguments) -> int:
    if "--help" in words or "-h" in words:
        return _print(draw.HELP)
    return run("evaluate", draw.translated(words))


def _reproduce(words: _Arguments) -> int:
    """Run each step as a process of its own would, so that it may start others."""
    own = sys.argv[1:]

    def step(arguments: _Arguments) -> int:
        sys.argv[1:] = arguments
        return _dispatch(arguments, is_process=True)

    try:
        return reproduce(words, step)
    finally:
        sys.argv[1:] = own


def _report(words: _Arguments) -> int:
    from robust.commands.report import report  # the page's libraries take a second

    return report(words, program="robust report")


def _card(words: _Arguments) -> int:
    from robust.commands.evidence.card import card  # the page's libraries take a second

    return card(words)


def _verify(words: _Arguments) -> int:
    from robust.commands.evidence.verify import verify  # the page's libraries take a second

    return verify(words)


def _list(words: _Arguments) -> int:
    code = listing.list_names(words)
    check_kept()
    return code


def _completion(words: _Arguments) -> int:
    from robust.commands.completion import complete  # the page's libraries take a second

    code = complete(words)
    check_kept()
    return code


def _print(text: str) -> int:
    print_all(text)
    return 0


_COMMANDS: dict[str, Callable[[_Arguments], int]] = {
    "evaluate": lambda words: run("evaluate", words),
    "measure": _measure,
    "draw": _plot,
    "report": _report,
    "card": _card,
    "verify": _verify,
    "sweep": lambda words: run("sweep", words),
    "reproduce": _reproduce,
    "dashboard": lambda words: run("dashboard", words),
    "list": _list,
    "completion": _completion,
    "--version": lambda _: _print(f"robust-defenses {version()}\n"),
    "--help": lambda _: _print(HELP),
    "-h": lambda _: _print(HELP),
}
