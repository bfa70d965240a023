"""Strict YAML for jsonargparse, and files and flags in which ``8/255`` is a number."""

import re
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import _paths as jsonargparse_paths
from jsonargparse import set_dumper, set_loader

from robust.errors import ConfigError
from robust.io.strict_yaml import StrictYAMLError, load, read
from robust.io.text_files import read_text
from robust.io.yaml_writing import dump
from robust.loading.moved import update

PARSER_MODE = "strict_yaml"
"""`robust.io.strict_yaml` for jsonargparse, which reads and writes it."""


def flag_value(text: str, flag: str) -> Any:  # noqa: ANN401
    """The value of a flag, as jsonargparse would read it for an argument without a type.

    Raises:
        ConfigError: If it begins like YAML and is none.
    """
    try:
        return _load(text)
    except StrictYAMLError as error:
        raise ConfigError(
            f"Expected a number, word or YAML after {flag}=, but got {text[:80]} ({error})."
        ) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, with fractions as numbers.

    Raises:
        ConfigError: If the file is missing, unreadable or holds something else.
    """
    content = read(path)
    if not isinstance(content, dict):
        raise ConfigError(f"Expected a mapping in {path}, but it holds {type(content).__name__}.")
    update(content)
    return content


def _load(text: str) -> Any:  # noqa: ANN401
    """What a text stands for; ``name:`` and ``{a, b}`` stay words, as jsonargparse has them.

    So do ``#1`` and ``&a``, in which YAML sees a comment and an anchor of nothing.
    """
    value = update(load(text))
    if value is None and _NOTHING.fullmatch(text):
        return text
    is_empty = isinstance(value, dict) and all(part is None for part in value.values())
    return text if is_empty and _WORDS.fullmatch(text.strip()) else value


_NOTHING = re.compile(r"[#&][^\n]*")
_WORDS = re.compile(r"[^{}\n]+:|\{[^:{}\n]+\}")


def read_checked(path: jsonargparse_paths.Path) -> str:
    """Return the text of a file that a config or a flag names; a fault in it has its line.

    jsonargparse reads it with the encoding of the terminal, and takes a nested file that is no YAML
    for a word.
    """
    if path.is_url or path.is_fsspec or path._std_io:
        return _read_elsewhere(path)
    read(path.absolute, path.relative)
    return read_text(path.absolute, path.relative)


_read_elsewhere = jsonargparse_paths.Path.read_text
set_loader(PARSER_MODE, _load, exceptions=(yaml.YAMLError,))
set_dumper(PARSER_MODE, dump)
