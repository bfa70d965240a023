"""Ctrl-C ends a command cleanly, and a second one ends it at once."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal, NoReturn

from robust.errors import Stopped
from robust.io.streams import say

INTERRUPTED = 128 + signal.SIGINT
"""Exit code after SIGINT, as in a shell."""
GO_ON = "Run the same command again to go on"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_ECHO = 2.0
"""Seconds; a terminal interrupts torchrun and its processes, and torchrun interrupts them again."""
_first: list[float] = []
"""Time of the first SIGINT of this command, on the clock of `time.monotonic`."""


@contextmanager
def interruptible() -> Iterator[None]:
    """End the command with exit code 130 and one line on SIGINT, until the end of the block.

    While a trainer works, `Preemption` replaces this handler and says how to go on.
    """
    if threading.current_thread() is not threading.main_thread():  # Python allows no other
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        which = which_interrupt()
        if which == "second":
            end_at_once()
        if which == "first":
            say(f"Stopped by SIGINT (exit code {INTERRUPTED}). {GO_ON}.")
            raise Stopped(INTERRUPTED)

    earlier = {number: signal.getsignal(number) for number in _SIGNALS}
    _first.clear()
    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            # A handler that was not set from Python is None.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def which_interrupt() -> Literal["first", "echo", "second"]:
    """Return which SIGINT of this command has just come; an echo is the first one, sent again."""
    now = time.monotonic()
    if not _first:
        _first.append(now)
        return "first"
    echo = "TORCHELASTIC_RUN_ID" in os.environ and now - _first[0] < _ECHO
    return "echo" if echo else "second"


def end_at_once(first: Callable[[], None] | None = None) -> NoReturn:
    """End this process at once; files on disk are complete at any time.

    Args:
        first: Called before, such as to end the processes that this one started.
    """
    if first is not None:
        first()
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # the cursor, which a progress bar hides
        sys.stderr.flush()
    os._exit(INTERRUPTED)
