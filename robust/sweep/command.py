"""A sweep file may train by train.py or robust with flags, and nothing else."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robust.errors import ConfigError
from robust.loading import class_paths, trust
from robust.sweep.file import SweepFile

_LONGEST = 80
_DEFAULT = ["${env}", "${interpreter}", "${program}", "${args}"]
_MACRO = re.compile(r"\$\{(args\w*|program|interpreter|env)\}")


def check_command(file: SweepFile) -> None:
    """Raise unless the command of a sweep file runs train.py or `robust train`, nothing else.

    Raises:
        UntrustedError: With the command, and the flag that would allow it.
        ConfigError: If there is no such train.py.
    """
    words = [str(word) for word in file.content.get("command") or _DEFAULT]
    program = str(file.content.get("program"))
    own = _arguments(words, program, is_elsewhere=file.is_elsewhere)
    if own is None and "train.py" in words and not Path("train.py").exists():
        raise ConfigError(
            f"Expected a train.py here, the `program` of {file.path}, but there is none. "
            "Run the sweep in the folder of train.py."
        )
    if own is None or any(map(_is_not_ours, own)):
        shown = shlex.join([program if word == "${program}" else word for word in words])
        shown = shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
        raise trust.UntrustedError(
            f"Expected the `command` of {file.path} to run train.py or robust train, with flags "
            f"and ${{args}}, but got {' '.join(shown.split())}. If you trust it, add "
            "--trust-command."
        )


def _arguments(words: list[str], program: str, *, is_elsewhere: bool) -> list[str] | None:
    """Return what follows the program; None if the program is not ours."""
    rest = words[1:] if words[:1] == ["${env}"] else words
    match rest:
        case ["${interpreter}", "${program}", *flags] if is_elsewhere:
            return _training(flags)
        case ["${interpreter}", "${program}", *flags] if _is_train(program):
            return flags
        case ["${interpreter}", script, *flags] if script != "${program}" and _is_train(script):
            return flags
        case ["${interpreter}", "-m", "robust", *flags] | ["robust", *flags]:
            return _training(flags)
    return None


def _training(words: list[str]) -> list[str] | None:
    """Return what follows `robust` if it trains; other commands write where a file says."""
    command = words[0] if words else ""
    return words if command.startswith(("--", "${args")) or command in _TRAIN else None


_TRAIN = ("train", "fit", "validate", "test")


def _is_train(program: str) -> bool:
    """Return whether it is the train.py beside this package, not one that came with the file."""
    own = Path(trust.__file__).parents[2] / "train.py"
    return Path(program).resolve() == own.resolve()


def _is_not_ours(word: str) -> bool:
    """Return whether a file must not pass a word to train.py: trust, or a variable of the user."""
    return word.startswith("--trust") or ("${" in word and not _MACRO.fullmatch(word))


def check_parameters(file: SweepFile) -> None:
    """Raise if a value of a parameter names a class that is not trusted.

    The runs refuse it too, since a file wrote their flags. This check comes before the first run.

    Raises:
        UntrustedError: With the class, the file, and the flag that would allow it.
    """
    parameters: Mapping[str, Any] = file.content.get("parameters") or {}
    for key in parameters:
        if str(key).startswith("trust"):
            raise trust.UntrustedError(
                f"Expected no parameter {str(key)[:40]!r} in {file.path}. Give --trust to the "
                "command that runs the sweep."
            )
    class_paths.check_classes(parameters, file.path)
    for name in filter(class_paths.is_there, class_paths.foreign(parameters)):
        class_paths.check_path(name, file.path)
