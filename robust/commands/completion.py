"""`robust completion`: what a shell needs to complete commands, flags and short names."""

import argparse
from collections.abc import Iterable, Sequence
from itertools import dropwhile

from robust.commands import listing
from robust.commands.options import card, dashboard, draw, measure, reproduce, sweep, train
from robust.commands.options.evaluate import evaluate_parser
from robust.commands.options.parser import OneLineParser
from robust.commands.report import report_parser
from robust.errors import ConfigError
from robust.loading.messages import nearest
from robust.loading.short_names import Kind, known
from robust.loading.trust import shown

SHELLS = ("bash", "zsh")
_HELP = """usage: robust completion {bash,zsh}

Print a script that completes commands, flags and short names.

  bash    eval "$(robust completion bash)"    in ~/.bashrc
  zsh     eval "$(robust completion zsh)"     in ~/.zshrc, after compinit
"""
_NAMES: dict[str, Kind] = {
    "defense": "defense",
    "data": "data",
    "suite": "suite",
    "attack_unit_test": "suite",
    "table": "table",
    "file": "sweep",
}
"""Arguments that take short names."""
_PATHS = (
    "runs",
    "report",
    "output",
    "transfer_from",
    "against",
    "junit",
    "sarif",
    "root",
    "config",
    "ckpt_path",
)


def complete(args: Sequence[str]) -> int:
    """Print the script of a shell, and return the exit code.

    Raises:
        ConfigError: If the shell is another one.
    """
    if not args or args[0] in ("--help", "-h"):
        print(_HELP, end="")
        return 0
    if args[0] not in SHELLS or len(args) > 1:
        raise ConfigError(
            f"Expected one of {', '.join(SHELLS)}, but got {shown(args[-1])!r}."
            f"{nearest(args[-1], SHELLS)}"
        )
    import shtab  # only here, so that a mistake is told without it

    print(_with_header(shtab.complete(_parser(shtab.FILE), shell=args[0]), args[0]))
    return 0


def _with_header(script: str, shell: str) -> str:
    """Return a script whose comments say how we use it; zsh reads the one about the command."""
    lines = script.splitlines()
    rest = list(dropwhile(lambda line: line.startswith("#") or not line, lines))
    first = [line for line in lines[: len(lines) - len(rest)] if line.startswith("#compdef")]
    where = {"bash": "~/.bashrc", "zsh": "~/.zshrc, after compinit"}[shell]
    ours = f'# Completes commands of robust: eval "$(robust completion {shell})" in {where}.'
    return "\n".join([*first, ours, *rest])


def _parser(files: object) -> argparse.ArgumentParser:
    """Return a parser of all commands, which knows the choices that there are.

    Args:
        files: How shtab is told that an argument is a path.
    """
    parser = argparse.ArgumentParser(prog="robust")
    parser.add_argument("--version", action="store_true")
    commands = parser.add_subparsers()
    for name, own in _parsers().items():
        for action in own._actions:
            if action.help == argparse.SUPPRESS:
                action.help = action.dest  # only the help has no room for it
            if action.dest in _NAMES:
                action.choices = sorted(known(_NAMES[action.dest]))
            if action.dest == "paper":
                action.choices = reproduce.papers()
            if action.dest in _PATHS:
                vars(action)["complete"] = files
        # A command without help is hidden.
        commands.add_parser(name, parents=[own], conflict_handler="resolve", help=name)
    return parser


def _parsers() -> dict[str, argparse.ArgumentParser]:
    own: dict[str, argparse.ArgumentParser] = {
        "train": train.train_parser(),
        "evaluate": evaluate_parser(),
        "report": report_parser("robust report"),
        "card": card.card_parser(),
        "verify": card.verify_parser(),
        "sweep": sweep.sweep_parser(),
        "dashboard": dashboard.dashboard_parser(),
        "reproduce": reproduce.reproduce_parser(),
        "measure": _chosen("what", measure.MEASURES, measure.FLAGS),
        "draw": _chosen("figure", draw.FIGURES, draw.FLAGS),
        "list": _chosen("kind", listing.KINDS, ()),
        "completion": _chosen("shell", SHELLS, ()),
    }
    return own | {name: _chosen("", (), train.FLAGS) for name in train.SUBCOMMANDS}


def _chosen(name: str, choices: Iterable[str], flags: Iterable[str]) -> argparse.ArgumentParser:
    parser = OneLineParser(add_help=False)
    if name:
        parser.add_argument(name, choices=list(choices))
    for flag in flags:
        parser.add_argument(flag)
    return parser
