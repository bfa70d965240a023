"""Standard output and error as they may be: closed, of another encoding, or a pipe nobody reads."""

import io
import os
import select
import sys


def make_usable() -> None:
    r"""See to it that both streams can be printed to.

    What was closed (``>&-``) becomes one that keeps nothing. A letter that the terminal's encoding
    lacks is printed as its escape, such as ``\xe9``.
    """
    sys.stdout = sys.stdout or _Nowhere()
    sys.stderr = sys.stderr or _Nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Nowhere(io.StringIO):
    """Keeps nothing."""

    def write(self, text: str, /) -> int:
        """Forget the text."""
        return len(text)


def nobody_reads() -> bool:
    """Whether it is standard output whose reader has gone, as ``head`` does when it has enough."""
    asked = select.poll()
    asked.register(sys.stdout, 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0)):
        return False
    # Or Python complains once more, when it closes what nobody reads.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
