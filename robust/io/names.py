"""Names of suites, attacks, runs, sweeps and tables are checked, and become names of files."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from robust.errors import ConfigError, nearest

_LONGEST = 100
_FILE_BYTES = 150
"""Together with the rest of a file's name, at most 255."""


def check_name(what: str, name: Any, *, is_file: bool = False) -> None:  # noqa: ANN401
    """Raise unless a name is printable text without blanks at its ends.

    Args:
        what: What is named, for the message.
        name: The name.
        is_file: Whether a file or folder gets this name.

    Raises:
        ConfigError: With what is wrong with it.
    """
    wrong = _wrong(name) or (_wrong_file(name) if is_file else None)
    if wrong is not None:
        raise ConfigError(f"Expected {what} to be a name, but got {wrong}.")


def _wrong(name: Any) -> str | None:  # noqa: ANN401
    if not isinstance(name, str):
        shown = json.dumps(name) if _plain(name) else f"a {type(name).__name__}"
        return f"{shown[:40]}, which is no text: put it in quotes"
    if not name:
        return "none: it is empty"
    if len(name) > _LONGEST:
        return f"{len(name)} characters, beginning with {name[:20]!a}: use at most {_LONGEST}"
    if not name.isprintable():
        odd = next(character for character in name if not character.isprintable())
        return f"{name!a}: leave out {odd!a}, which does not print"
    return f"{name!r} with a blank at an end" if name != name.strip() else None


def _plain(name: Any) -> bool:  # noqa: ANN401
    return name is None or isinstance(name, bool | int | float)


def _wrong_file(name: str) -> str | None:
    for character in "/\\":
        if character in name:
            return f"{name!r}: leave out {character!r}, because a file is called so"
    if name in (".", "..") or name.startswith("-"):
        return f"{name!r}, which no file can be called: choose another"
    size = len(name.encode())
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return f"{name!a}, which no file of this locale can be called: set LC_ALL=C.UTF-8"
    if size > _FILE_BYTES:
        return f"{size} bytes, beginning with {name[:20]!r}: use at most {_FILE_BYTES}"
    return None


def printable(text: object) -> str:
    r"""Return a text, or a path, with an escape such as ``\x1b`` for what does not print."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def file_name(name: str, longest: int = 80) -> str:
    """Return a name for a part of a file's name, without separators and cut if long.

    Args:
        name: A name such as that of an attack, which may contain ``/``.
        longest: Bytes that it may have.
    """
    odd = "." if name in (".", "..") else "/\\%"
    kept = "".join(f"%{ord(c):02X}" if c in odd else c for c in name)
    if len(kept.encode()) <= longest:
        return kept
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return kept.encode()[: longest - 9].decode(errors="ignore") + "-" + mark


def short_names(keys: Sequence[str]) -> list[str]:
    """Return the last parts of dotted keys, as many as tell them apart."""
    names = []
    for key in keys:
        parts = key.split(".")
        tails = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        others = [other for other in keys if other != key]
        unique = (t for t in tails if not any(("." + o).endswith("." + t) for o in others))
        names.append(next(unique, key))
    return names


def chosen(names: Iterable[str], patterns: Sequence[str]) -> set[str]:
    """Return names that are given, or match a pattern that is not the name of one itself.

    Raises:
        ConfigError: If there is none, or one of the patterns means none.
    """
    known = list(names)
    found = {pattern: _meant(known, pattern) for pattern in patterns}
    unknown = next((pattern for pattern, meant in found.items() if not meant), None)
    if unknown is not None or not found:
        given = "none" if unknown is None else repr(unknown[:_SHOWN])
        raise ConfigError(
            f"Expected attacks of the suite ({_some(known)}), but got {given}. "
            f"Name some of them, or patterns such as 'bim_*'.{nearest(unknown or '', known)}"
        )
    return set().union(*found.values())


_SHOWN = 40
"""Characters of a name that a message shows."""
_MOST = 150
"""Characters of all names together."""


def _some(names: Sequence[str]) -> str:
    """Return the names, or those that come first with `...` where they are many."""
    text = ", ".join(name[:_SHOWN] for name in names)
    return text if len(text) <= _MOST else f"{text[:_MOST].rpartition(', ')[0]}, ..."


def _meant(known: Sequence[str], pattern: str) -> set[str]:
    if pattern in known:
        return {pattern}
    return {name for name in known if fnmatchcase(name, pattern)}
