"""YAML and flags in which ``8/255`` is a number."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from robust.errors import ConfigError
from robust.explain import one_line

PARSER_MODE = "yaml_with_fractions"
"""jsonargparse's YAML, in which ``8/255`` is a number; a string of that form takes quotes and ./"""

_FRACTION = re.compile(r"(-?\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")


def fractions_to_decimals(arguments: Sequence[str]) -> list[str]:
    """Replace values such as ``8/255`` among command-line arguments; other arguments stay."""
    return [
        re.sub(r"^(--[\w.+-]+=|)(.*)$", lambda m: m[1] + _decimal(m[2]), argument, flags=re.DOTALL)
        for argument in arguments
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


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, with fractions as numbers.

    Raises:
        ConfigError: If the file is missing, unreadable or holds something else.
    """
    try:
        content = _load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"Expected a YAML file at {path}, but cannot read it ({one_line(str(error))})."
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(f"Expected a mapping in {path}, but it holds {type(content).__name__}.")
    return content


set_loader(PARSER_MODE, _load, exceptions=(yaml.YAMLError,))
