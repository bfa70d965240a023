"""A file that somebody names has to be a regular file of bounded size with text in UTF-8."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from robust.errors import ConfigError
from robust.io import files
from robust.io.names import printable

_LARGEST = 16 << 20
"""Bytes of text."""


def expanded(path: str | Path) -> Path:
    """Return the path with ``~`` or ``~user`` at its beginning replaced by that home folder.

    Raises:
        ConfigError: If there is no such user, the home folder is unknown, or no file can have the
            name.
    """
    _check_possible(str(path))
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0]
        raise ConfigError(
            f"Expected the home folder of a user, but got {user}, which has none here. "
            "Name the folder itself."
        ) from None


def _check_possible(path: str) -> None:
    """Raise unless a file can have a name: none has a zero byte, or half of a letter."""
    try:
        is_possible = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        is_possible = False
    if not is_possible:
        raise ConfigError(
            f"Expected a name that a file can have, but got {printable(path):.80}. Choose another."
        )


def named_path(path: object) -> Path:
    """Return the path that somebody passes to a function, with ``~`` replaced.

    Raises:
        ConfigError: If it is empty or no path, or there is no such home folder.
    """
    if not isinstance(path, str | Path) or not str(path):
        raise ConfigError(
            f"Expected the path of a folder or a file, but got {str(path)[:60]!r}. Name one such "
            "as runs/mine/a."
        )
    return expanded(path)


def check_arguments(words: Sequence[str]) -> None:
    """Raise if an argument has bytes that are not UTF-8, which no config can hold.

    Raises:
        ConfigError: With the argument.
    """
    for word in words:
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise ConfigError(
                f"Expected arguments in UTF-8, but got {printable(word):.80}. Rename that file or "
                "folder."
            )


def open_file(path: str | Path, name: str | None = None) -> BinaryIO:
    """Open a file to read its bytes.

    Args:
        path: The file.
        name: What messages call it; the path if None.

    Raises:
        ConfigError: If it cannot be read, or is no file, such as a pipe, which would block.
    """
    name = str(path) if name is None else name
    try:
        return files.open_to_read(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"Expected a file at {name}, but cannot read it ({reason}).") from None


def read_text(path: str | Path, name: str | None = None) -> str:
    """Return the text of a file, which is UTF-8 with or without a byte order mark.

    Args:
        path: The file.
        name: What messages call it; the path if None.

    Raises:
        ConfigError: If it is no file, too large, cannot be read, or has another encoding.
    """
    name = str(path) if name is None else name
    try:
        with open_file(path, name) as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"Expected a file at {name}, but cannot read it ({error.strerror})."
        ) from None
    if len(content) > _LARGEST:
        raise ConfigError(
            f"Expected at most {_LARGEST >> 20} MiB of text in {name}, but it is larger."
        )
    return decode(content, name)


def decode(content: bytes, name: str) -> str:
    """Return bytes as text.

    Args:
        content: The bytes.
        name: What messages call the file.

    Raises:
        ConfigError: If they are not UTF-8, with the encoding if it is known.
    """
    other = _other_encoding(content)
    if other is None:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            other = f"the byte 0x{content[error.start]:02x} in line {line}, as of Latin-1"
    raise ConfigError(f"Expected UTF-8 in {name}, but got {other}. Save it as UTF-8.")


# UTF-32's mark begins with that of UTF-16.
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
# Without a mark, by where ASCII has its zeros.
_ZEROS = {
    frozenset({0, 1, 2}): "UTF-32",
    frozenset({1, 2, 3}): "UTF-32",
    frozenset({0, 2}): "UTF-16",
    frozenset({1, 3}): "UTF-16",
}


def _other_encoding(content: bytes) -> str | None:
    marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    return marked or _ZEROS.get(frozenset(i % 4 for i, byte in enumerate(content[:64]) if not byte))
