"""One process at a time trains in the folder of a run."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from robust.errors import ConfigError

_PATIENCE = 8.0
"""Seconds; processes that read data see so late that the one which started them was killed."""
_held: list[int] = []


def hold(folder: Path) -> None:
    """Keep other processes from training in a folder until `release`, or the end of this process.

    Raises:
        ConfigError: If another one is at it.
    """
    release()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    _held.append(descriptor)
    until = time.monotonic() + _PATIENCE
    with contextlib.suppress(OSError):  # a file system without locks
        while not _is_locked(descriptor):
            if time.monotonic() > until:
                raise ConfigError(
                    f"Expected one process to train the run {folder}, but another one is at it. "
                    "Wait for it, or choose another --run.id."
                )
            time.sleep(0.1)


def release() -> None:
    """Let other processes train in the folder that this one held, if it held one."""
    while _held:
        os.close(_held.pop())


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
