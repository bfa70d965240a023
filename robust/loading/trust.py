"""What the user trusts beside the packages whose classes files may name, and who may say so."""

import contextlib
import functools
import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeGuard

from robust.errors import ConfigError
from robust.io.files import open_to_read
from robust.io.text_files import read_text

ENVIRONMENT = "ROBUST_TRUST"
"""Variable of packages that the user trusts, separated by commas or colons."""
TRUST_HELP = (
    "With --trust PACKAGE, which may be repeated, files may name classes of this package, too. "
    f"`trust = [...]` under [tool.robust] of a pyproject.toml and {ENVIRONMENT} say the same. "
    "See docs/untrusted-files.md."
)
FLAGS_OF_FILE = "ROBUST_FLAGS_OF_FILE"
"""Variable that a sweep sets for its runs: a file wrote their flags, which are no user's word."""

_LONGEST = 60


class UntrustedError(ConfigError):
    """A file names a class, a function or a command that the user has not said to trust."""


def granted() -> tuple[str, ...]:
    """Packages and classes that the user trusts beside `PACKAGES`.

    Raises:
        ConfigError: If the environment names neither packages nor a file that says some.
    """
    return _entries_of(os.environ.get(ENVIRONMENT, ""))


@functools.lru_cache(maxsize=8)
def _entries_of(text: str) -> tuple[str, ...]:
    words = re.split(rf"[,{re.escape(os.pathsep)}]", text)
    return tuple(e for word in words if word.strip() for e in entries(word.strip()))


def entries(word: str) -> list[str]:
    """What a value of ``--trust`` means: a package or a class, or those of a ``pyproject.toml``.

    A file with another suffix is a program that may be loaded; what is in it counts, not its name.

    Raises:
        ConfigError: If it is none of these.
    """
    if Path(word).suffix not in ("", ".toml") and os.path.isfile(word):
        return [file_entry(word)]
    if word.endswith(".toml"):
        return [entry for name in _in_pyproject(Path(word)) for entry in _entry(name)]
    return _entry(word)


def file_entry(path: str | Path) -> str:
    """Return what stands for a trusted file among trusted packages: its content.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        with open_to_read(path) as file:  # a pipe would block
            return f"file.sha256_{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise ConfigError(
            f"Expected a file that can be read at {shown(str(path))}, but cannot "
            f"({error.strerror}). Name another."
        ) from None


def _entry(word: str) -> list[str]:
    if not is_dotted(word) or word.endswith(".toml") or word.split(".")[0] == "jsonargparse":
        raise ConfigError(
            f"Expected a package such as mypackage, or a pyproject.toml, to trust, but got "
            f"{shown(word)!r}. Name what may be built."
        )
    return [word]


def _in_pyproject(path: Path) -> list[str]:
    try:
        content = tomllib.loads(read_text(path))
    except (ConfigError, ValueError, RecursionError) as error:  # also a number of 5,000 digits
        wrong = "no file of text" if isinstance(error, ConfigError) else "no TOML"
        raise ConfigError(
            f"Expected a pyproject.toml to trust at {path}, but there is {wrong}. Name another."
        ) from None
    tool = content.get("tool")
    table = tool.get("robust") if isinstance(tool, dict) else None
    names = table.get("trust") if isinstance(table, dict) else None
    if not isinstance(names, list) or not all(map(is_dotted, names)):
        raise ConfigError(
            f"Expected `trust = [...]` with names of packages under [tool.robust] in {path}, but "
            "got none. Add it, or name the packages themselves."
        )
    return names


def taken(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What ``--trust`` gives among arguments, and the other arguments.

    Raises:
        ConfigError: If it comes without a value, with one that is no package, or from a file.
    """
    trusted: list[str] = []
    others: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag != "--trust":
            others.append(word)
            continue
        trusted += entries(value if equals else next(words, ""))
    if trusted and os.environ.get(FLAGS_OF_FILE):
        raise UntrustedError(
            "Expected no --trust among the flags that a sweep file writes, but got "
            f"{shown(trusted[0])}. Give it to the command that runs the sweep."
        )
    return trusted, others


@contextlib.contextmanager
def trusting(names: Sequence[str]) -> Iterator[None]:
    """Trust packages and classes meanwhile, here and in the processes that are started.

    Args:
        names: As `granted` has them.
    """
    earlier = os.environ.get(ENVIRONMENT)
    known = [*granted(), *names]
    if known:
        os.environ[ENVIRONMENT] = ",".join(dict.fromkeys(known))
    try:
        yield
    finally:
        if earlier is None:
            os.environ.pop(ENVIRONMENT, None)
        else:
            os.environ[ENVIRONMENT] = earlier


def is_class_path(text: object) -> TypeGuard[str]:
    """Whether a value is a text of names joined by dots, two at least."""
    return is_dotted(text) and "." in str(text)


def is_below(path: str, entries: Sequence[str]) -> bool:
    """Whether a dotted path is one of the entries or lies below one."""
    return any(prefix in entries for prefix in prefixes(path))


def prefixes(path: str) -> list[str]:
    """A dotted path and those above it, the longest first."""
    parts = path.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)]


def is_dotted(text: object) -> TypeGuard[str]:
    """Whether a value is a text of names joined by dots, or a single name."""
    return isinstance(text, str) and all(part.isidentifier() for part in text.split("."))


def shown(text: str) -> str:
    """A text as messages show it: its beginning, if it is long."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
