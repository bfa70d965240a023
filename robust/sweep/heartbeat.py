"""Drivers of one sweep tell the living from the dead, on one machine or on several."""

import contextlib
import fcntl
import os
import re
import secrets
import time
from functools import cache
from pathlib import Path
from typing import final

from robust.io import files

_EVERY = 5.0
"""Seconds between two beats."""
_DEAD_AFTER = 60.0
"""Seconds without a beat after which a driver of another machine is dead."""
_LONGEST = 1000


@cache
def machine() -> str:
    """Return a name of this machine since its start, and of its process ids."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    return os.uname().nodename


@final
class Heartbeat:
    """A driver's file in a folder that all drivers of a sweep share.

    The file is locked as long as the driver lives, so that others on this machine know at once. On
    other machines they see a number in it grow. No clock is compared with another one's.

    Args:
        folder: The folder of all drivers.

    Raises:
        OSError: If the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.driver = secrets.token_hex(8)
        """The driver's name."""
        self._folder = folder
        self._path = folder / self.driver
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._count, self._last = 0, -_EVERY
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o666)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self.beat()

    def beat(self) -> None:
        """Say that this driver lives, if the last time is some seconds ago."""
        now = time.monotonic()
        if now >= self._last + _EVERY:
            self._last, self._count = now, self._count + 1
            os.pwrite(self._descriptor, f"{machine()} {self._count:12}\n".encode(), 0)

    def close(self) -> None:
        """Remove the file, when nothing of the driver runs any more."""
        self._path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def is_alive(self, driver: str | None) -> bool:
        """Return whether a driver lives; of another machine's it can take a minute to know."""
        if driver == self.driver:
            return True
        if driver is None or not re.fullmatch(r"[0-9a-f]{16}", driver):
            return False
        try:
            with files.open_to_read(self._folder / driver) as file:
                beat = file.read(_LONGEST)
                is_here = beat.split()[:1] == [machine().encode()]
                if is_here and (is_locked := _is_locked(file.fileno())) is not None:
                    return is_locked
        except OSError:
            return False
        now = time.monotonic()
        last, since = self._seen.get(driver, (b"", 0.0))
        if last != beat:
            since = now
            self._seen[driver] = (beat, now)
        return now < since + _DEAD_AFTER


def _is_locked(descriptor: int) -> bool | None:
    """Return whether another process has locked a file; None where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False
