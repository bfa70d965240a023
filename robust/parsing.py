"""What the commands share: fractions as numbers, errors of one line, runs read back."""

import contextlib
import ctypes
import difflib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

import torchattacks
import yaml
from jsonargparse import ArgumentError, get_loader, set_loader
from lightning.pytorch.cli import LightningArgumentParser

from robust.checkpoints import DESCRIPTION, read_checkpoint
from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation

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


def keep_freed_memory() -> None:
    """Have glibc keep the memory that torch frees, instead of mapping it anew at every step.

    Worth 1.2x to 2.2x in wall time on Linux CPUs, for memory that the process does not give back.
    ``ROBUST_MALLOPT=0`` turns it off.
    """
    if sys.platform != "linux" or os.environ.get("ROBUST_MALLOPT") == "0":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for option, value in _MALLOPT.items():
            mallopt(option, value)


# M_MMAP_MAX: no mappings of their own; M_TRIM_THRESHOLD: nothing back; M_TOP_PAD: grow in 256 MiB.
_MALLOPT = {-4: 0, -1: 2**31 - 1, -2: 256 << 20}


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
    """Parser that says in one line what is wrong, and the nearest name where a name is unknown."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the error and exit with code 2, or raise it where a nested parser asks for that."""
        if not self.exit_on_error:
            super().error(message, ex)
        print(f"error: {explain(message, self._names())}", file=sys.stderr)
        raise SystemExit(2)

    def _names(self) -> list[str]:
        """Keys and flags of this parser and of its subcommands."""
        parsers = [self, *getattr(self._subcommands_action, "_name_parser_map", {}).values()]
        return [name for p in parsers for a in p._actions for name in (a.dest, *a.option_strings)]


class Restored(NamedTuple):
    """A trained defense and its data, built from a checkpoint alone."""

    defense: Defense
    data: ImageDataModule


def restore(path: Path) -> Restored:
    """Build the defense that a checkpoint describes, with its weights, and its data module.

    Nothing in the file is executed: it is read as weights and plain values, and the classes that it
    names are built only if they are a `Defense` and an `ImageDataModule`.

    Raises:
        ConfigError: If the file is no checkpoint of ours, or no longer fits the code.
    """
    checkpoint = read_checkpoint(path)
    if DESCRIPTION not in checkpoint:
        raise ConfigError(
            f"Expected {path} to say which defense it is of, but it does not. Use a checkpoint "
            "that train.py wrote."
        )
    parts = {key: checkpoint[DESCRIPTION][key] for key in ("model", "data")}
    # How it was trained is of no use here, and a teacher's file may be gone.
    for key in ("optimizer", "scheduler", "teacher"):
        parts["model"]["init_args"].pop(key, None)
    parser = Parser(parser_mode=PARSER_MODE, exit_on_error=False)
    parser.add_subclass_arguments(Defense, "model")
    parser.add_subclass_arguments(ImageDataModule, "data")
    try:
        built = parser.instantiate_classes(parser.parse_object(parts))
        built.model.load_state_dict(checkpoint["state_dict"])
    except (ArgumentError, RuntimeError) as error:
        raise ConfigError(
            f"Expected {path} to be of a defense that this version knows, but: "
            f"{explain(str(error))}"
        ) from None
    return Restored(built.model.eval(), built.data)


def read_suite(path: Path, **settings: Any) -> AttackEvaluation:  # noqa: ANN401
    """The evaluation of a suite file, with some of its settings replaced.

    Raises:
        ConfigError: If the file is missing or not a suite.
    """
    parser = Parser(parser_mode=PARSER_MODE, exit_on_error=False)
    parser.add_class_arguments(AttackEvaluation, "evaluation")
    try:
        config = parser.parse_object({"evaluation": {**read_yaml(path), **settings}})
    except ArgumentError as error:
        raise ConfigError(f"{path}: {explain(str(error), parser._names())}") from None
    return cast(AttackEvaluation, parser.instantiate_classes(config).evaluation)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, with fractions as numbers.

    Raises:
        ConfigError: If the file is missing, unreadable or holds something else.
    """
    try:
        content = _load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"Expected a YAML file at {path}, but cannot read it ({_one_line(str(error))})."
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(f"Expected a mapping in {path}, but it holds {type(content).__name__}.")
    return content


def explain(message: str, names: Sequence[str] = ()) -> str:
    """One line for an error of jsonargparse, whose own text lists every type that was tried.

    Args:
        message: Its text.
        names: Keys and flags to choose the nearest from.
    """
    for pattern, say in _EXPLANATIONS:
        match = re.search(pattern, message)
        if match:
            return say(match, message, names)
    return _one_line(message)


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a sentence that names what was perhaps meant; empty if nothing is near."""
    close = difflib.get_close_matches(name, [n for n in names if n != name], n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _unknown_option(match: re.Match[str], message: str, names: Sequence[str]) -> str:
    option = match[1]
    owner = re.findall(r"class_path ?'?=?'([\w.]+)'", message[: match.start()])
    owner = owner[-1:] or re.findall(r"class_path='([\w.]+)'", message)[:1]
    if not owner:
        return f"Unknown option {option!r}.{nearest(option, names)}"
    parameters = inspect.signature(_import(owner[0])).parameters
    accepted = ", ".join(parameters)
    hint = nearest(option, parameters) or f" It accepts: {accepted}."
    return f"Unknown option {option!r} of {owner[0]}.{hint}"


def _unknown_class(match: re.Match[str], message: str, names: Sequence[str]) -> str:
    module, name = match[1], match[2]
    near = nearest(name, dir(importlib.import_module(module)))
    return f"There is no {name!r} in {module}.{near}"


def _not_a_path(match: re.Match[str], message: str, names: Sequence[str]) -> str:
    name = match[1].strip()
    known = [c.__name__ for c in Defense.__subclasses__()] + dir(torchattacks)
    return f"Expected a class such as robust.defenses.Squeezed, but got {name!r}." + nearest(
        name, known
    )


def _wrong_type(match: re.Match[str], message: str, names: Sequence[str]) -> str:
    key, kind, value = match[1], match[2], match[3]
    return f"Expected `{key}` to be of type {kind}, but got {value.strip()!r}."


def _wrong_types(match: re.Match[str], message: str, names: Sequence[str]) -> str:
    key, value = match[1], match[3]
    kinds = re.findall(r"- Expected an? <class '(\w+)'>", match[2])
    return f"Expected `{key}` to be {' or '.join(kinds)}, but got {value.strip()!r}."


def _unknown_key(match: re.Match[str], message: str, names: Sequence[str]) -> str:
    key = match[1].split("=")[0]
    group, groups = key.split(".")[0], {name.split(".")[0] for name in names}
    hint = nearest(key, names) or (nearest(group, groups) if group not in groups else "")
    return f"Unknown key or flag {key!r}.{hint}"


def _unreadable(match: re.Match[str], message: str, names: Sequence[str]) -> str:
    return f"Expected a YAML file at {match[1]}, but there is none that can be read."


_Explain = Callable[[re.Match[str], str, Sequence[str]], str]
# In this order: the first that matches is the most specific.
_EXPLANATIONS: list[tuple[str, _Explain]] = [
    (r"Option '([^']+)' is not accepted", _unknown_option),
    (r"module '([\w.]+)' has no attribute '(\w+)'", _unknown_class),
    (r"Expected a dot import path string: (\S+)", _not_a_path),
    (
        r"Parser key \"([\w.]+)\":\s+Expected an? <class '(\w+)'>\. "
        r"Got value: (.+?)(?:\. Got value|\n|$)",
        _wrong_type,
    ),
    (
        r"Parser key \"([\w.]+)\":\s+Does not validate[^\n]*\s+Subtypes: [^\n]*\s+Errors:"
        r"((?:\s+- Expected an? <class '\w+'>)+)\s+Given value type: [^\n]*\s+Given value: (.+)",
        _wrong_types,
    ),
    (r"Unable to load config ['\"]([^'\"]+)['\"]", _unreadable),
    (r"File does not exist: '([^']+)'", _unreadable),
    (r"unrecognized arguments: (\S+)", _unknown_key),
    (r"does not accept option '([^']+)'", _unknown_key),
]


def _import(path: str) -> Any:  # noqa: ANN401
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _one_line(text: str) -> str:
    return " ".join(text.split())


set_loader(PARSER_MODE, _load, exceptions=(yaml.YAMLError,))
