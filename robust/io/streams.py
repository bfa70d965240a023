"""Standard output and error may be closed, have another encoding, or be a pipe nobody reads."""

import io
import os
import select
import sys


def make_usable() -> None:
    r"""Make both streams usable for printing.

    A closed stream (``>&-``) is replaced by one that keeps nothing. A character that the terminal's
    encoding lacks is printed as its escape, such as ``\xe9``.
    """
    sys.stdout = sys.stdout or _Nowhere()
    sys.stderr = sys.stderr or _Nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Nowhere(io.StringIO):
    """A stream that keeps nothing."""

    def write(self, text: str, /) -> int:
        """Forget the text."""
        return len(text)


def nobody_reads() -> bool:
    """Return whether nobody reads standard output any more, as after ``head``."""
    asked = select.poll()
    asked.register(sys.stdout, 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0)):
        return False
    # Otherwise Python complains again when it closes the stream.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
