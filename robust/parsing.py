"""Parsing shared by the commands: fractions as numbers, and errors of one readable line."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader
from lightning.pytorch.cli import LightningArgumentParser

from robust.errors import ConfigError

PARSER_MODE = "yaml_with_fractions"
"""jsonargparse's YAML, in which ``8/255`` is a number; a string of that form takes quotes and ./"""

_FRACTION = re.compile(r"(-?\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")


def run_command(command: Callable[[], Any]) -> int:
    """Run a command; print an error that the user can mend as one line.

    Returns:
        The exit code: 0, or 2 after such an error.
    """
    try:
        command()
    except ConfigError as error:
        print(f"error: {_one_line(str(error))}", file=sys.stderr)
        return 2
    return 0


def fractions_to_decimals(arguments: Sequence[str]) -> list[str]:
    """Replace values such as ``8/255`` among command-line arguments; other arguments stay."""
    return [
        f"{key}{_decimal(value)}"
        for argument in arguments
        for key, value in [re.fullmatch(r"(--[\w.+-]+=|)(.*)", argument, re.DOTALL).groups()]
    ]


def _decimal(text: str) -> str:
    match = _FRACTION.fullmatch(text)
    return repr(float(match[1]) / float(match[2])) if match and float(match[2]) else text


def _with_fractions(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _with_fractions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_fractions(item) for item in value]
    match = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) / float(match[2]) if match and float(match[2]) else value


def _load(text: str) -> Any:  # noqa: ANN401
    return _with_fractions(get_loader("yaml")(text))


class Parser(LightningArgumentParser):
    """Parser whose errors are one line."""


def _one_line(text: str) -> str:
    return " ".join(text.split())


set_loader(PARSER_MODE, _load, exceptions=(yaml.YAMLError,))
