"""A parser of flags whose errors are one line, and whose help fits a screen."""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from robust.io.names import printable
from robust.io.streams import print_all, say
from robust.loading.messages import nearest

_LONGEST = 280


class _Narrow(argparse.HelpFormatter):
    """Lines of at most 80 columns, in any terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=80)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Return a paragraph in lines of that width; lines that are given, such as examples."""
        return text if "\n" in text else super()._fill_text(text, width, indent)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        """Return `NAME ...` where argparse has `NAME [NAME ...]`, which takes a line of its own."""
        if action.nargs == "+":
            return f"{action.metavar or default_metavar} ..."
        return super()._format_args(action, default_metavar)


class OneLineParser(argparse.ArgumentParser):
    """Prints what is wrong with the flags as one line, without the usage before it.

    Args:
        more: What ``--help-all`` adds to the help of an option, by its destination.
        settings: Those of `argparse.ArgumentParser`.
    """

    def __init__(self, *, more: dict[str, str] | None = None, **settings: Any) -> None:  # noqa: ANN401
        settings = {"formatter_class": _Narrow, "allow_abbrev": False, **settings}
        super().__init__(**settings)
        self._more = more or {}
        if self._more:
            self.add_argument("--help-all", action=_HelpAll, help="show more of each option")

    def error(self, message: str) -> NoReturn:
        """Print the message on standard error, and exit with code 2."""
        unknown = re.match(r"unrecognized arguments: (--[^\s=]+)", message)
        line = printable(" ".join(message.split())) + (
            nearest(unknown[1], self.flags()) if unknown else ""
        )
        line = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 4]} ..."
        say(f"error: {line}")
        raise SystemExit(2)

    def _print_message(self, message: str, file: Any = None) -> None:  # noqa: ANN401
        """Print help, and raise where standard output cannot be written: argparse would not."""
        print_all(message, file)

    def flags(self) -> list[str]:
        """Return all flags."""
        return [flag for action in self._actions for flag in action.option_strings]

    def print_all(self) -> None:
        """Print the help with what there is to say beyond a line."""
        for action in self._actions:
            if action.dest in self._more:
                more, hidden = self._more[action.dest], action.help == argparse.SUPPRESS
                action.help = more if hidden else f"{action.help}; {more}"
        self.print_help()


class _HelpAll(argparse.Action):
    """Prints all help, and exits."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=settings["help"])

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it."""
        assert isinstance(parser, OneLineParser)
        parser.print_all()
        parser.exit()
