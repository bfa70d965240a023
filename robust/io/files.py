"""Files are replaced atomically, never through a symbolic link, and only regular files are read.

A folder of someone else may contain anything: a link to a file of the user, a pipe that nobody
writes to, a device. So a file is written under a new name beside the old one, and renamed when it
is complete. After a full disk or in a killed process the earlier file stays as it was.
"""

import contextlib
import errno
import fcntl
import io
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from robust.errors import ConfigError

if TYPE_CHECKING:
    from filelock import FileLock

_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_WRONLY
_ADDED = os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_RDWR
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe would block otherwise
_STALE = 60.0
"""Seconds after which a file that nobody writes any more belongs to a killed process."""
_LONGEST_NAME = 50
"""Characters of a file's name in that of its successor; names have at most 255 bytes."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that replaces ``path`` at the end, unless an error is raised.

    A symbolic link at ``path`` is replaced as well, and its target stays as it is.

    Args:
        path: The file; its folder has to exist.

    Raises:
        OSError: If it cannot be written, or is a folder.
    """
    _remove_stale(path)
    new = path.with_name(f"{_prefix(path)}{secrets.token_hex(8)}.new")
    try:
        with os.fdopen(os.open(new, _NEW, 0o666), "wb") as file:
            _lock(file.fileno())
            _keep_mode(path, file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
            new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Replace a file by one with this content; text is written in UTF-8.

    Raises:
        OSError: If it cannot be written; the earlier file stays as it was.
    """
    with replacing(path) as file:
        file.write(encoded(content) if isinstance(content, str) else content)


def encoded(text: str) -> bytes:
    r"""Return a text in UTF-8, with an escape such as ``\udcff`` for a byte that is none."""
    return text.encode(errors="backslashreplace")


def write_output(path: Path, text: str) -> None:
    """Write output to the path that the user named.

    A device or a pipe, such as ``/dev/stdout``, is written to. Anything else is replaced.

    Raises:
        OSError: If it cannot be written.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISREG(mode):
        write(path, text)
    else:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")


def append(path: Path, text: str, *, sync: bool = True) -> None:
    """Append all of a text to a file or nothing; the file is made if absent.

    Args:
        path: The file.
        text: What to add, in UTF-8; other bytes as Python's `surrogateescape` reads them.
        sync: Whether it has to be on disk when this returns.

    Raises:
        OSError: If it cannot be written, or is no regular file, such as a link.
    """
    with open_to_append(path) as file:
        before = file.seek(0, io.SEEK_END)
        try:
            file.write(text.encode(errors="surrogateescape"))
            if sync:
                os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise


def open_to_append(path: Path) -> io.FileIO:
    """Open a file to read it and to add to it; it is made if absent.

    Raises:
        OSError: If it cannot be written, or is no regular file, such as a link.
    """
    descriptor = os.open(path, _ADDED | os.O_APPEND, 0o666)
    try:
        _check_regular(descriptor, path)
    except OSError:
        os.close(descriptor)
        raise
    return _Added(descriptor, "a+")


class _Added(io.FileIO):
    """A file whose `write` writes all bytes or raises an error."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        rest = memoryview(content)
        while rest:
            rest = rest[super().write(rest) :]
        return len(content)


@contextlib.contextmanager
def alone(lock: "FileLock") -> Iterator[None]:
    """Keep other processes that take the same lock out meanwhile, if the file system has locks."""
    with contextlib.suppress(OSError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def read(path: Path, most: int | None = None) -> bytes:
    """Read a regular file, perhaps through a link; anything else is refused without waiting.

    Args:
        path: The file.
        most: Bytes that it may have; any number if None.

    Raises:
        OSError: If there is no such file, it cannot be read, is no file, or is larger.
    """
    with open_to_read(path) as file:
        if most is not None and os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"larger than {most / 1e6:.0f} MB", str(path))
        return file.read()


def open_to_read(path: str | Path) -> io.BufferedReader:
    """Open a regular file, perhaps through a link; anything else is refused without waiting.

    Raises:
        OSError: If there is no such file, it cannot be read, or it is no file.
        ValueError: If no file can have this name.
    """
    descriptor = os.open(path, _READ)
    try:
        _check_regular(descriptor, path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check_regular(descriptor: int, path: str | Path) -> None:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {_kind(mode)}, not a file", str(path))


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "a device")


def own_folder(path: Path) -> None:
    """Make a folder of a run for files of the run.

    Raises:
        ConfigError: If it is a symbolic link, because files would be written elsewhere.
        OSError: If it cannot be made.
    """
    check_own_folder(path)
    path.mkdir(parents=True, exist_ok=True)


def check_own_folder(path: Path) -> None:
    """Raise if a folder of a run is a link to another one.

    Raises:
        ConfigError: If it is a symbolic link.
    """
    if path.is_symlink():
        raise ConfigError(
            f"Expected {path} to be a folder, but got a symbolic link, through which nothing is "
            "written. Put the folder itself there, or link all of the run's folder."
        )


def check_own_file(path: Path, *, replaced: bool = False) -> None:
    """Raise if a path exists and is no regular file.

    Args:
        path: The file.
        replaced: Whether it will be replaced, which a link can be, and not appended to.

    Raises:
        ConfigError: If it is a symbolic link, a pipe, a folder or the like.
    """
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or (replaced and stat.S_ISLNK(mode))):
            raise ConfigError(
                f"Expected {path} to be a file, but got {_kind(mode)}, to which nothing is "
                "written. Remove it."
            )


_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
}


def _prefix(path: Path) -> str:
    return f".{path.name[:_LONGEST_NAME]}."


def _remove_stale(path: Path) -> None:
    """Remove what is left of processes that were killed while they wrote this file."""
    prefix = _prefix(path)
    with contextlib.suppress(OSError):
        for other in os.scandir(path.parent):
            if other.name.startswith(prefix) and other.name.endswith(".new"):
                _remove_if_stale(other.path)


def _remove_if_stale(path: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, _READ | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            old = time.time() - status.st_mtime > _STALE
            if old and stat.S_ISREG(status.st_mode):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _keep_mode(path: Path, descriptor: int) -> None:
    """Give the new file the permissions of the one that it replaces."""
    with contextlib.suppress(OSError):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            os.fchmod(descriptor, stat.S_IMODE(mode) & 0o777)
