"""Standard output and error may be closed, full, unread, or have another encoding."""

import contextlib
import io
import os
import select
import signal
import sys
from typing import Any, TextIO

from robust.errors import ConfigError

_CLOSED = "Standard output is closed, so what was printed there is lost."


class OutputError(OSError):
    """Standard output cannot be written, such as on a full disk."""


class _Output(io.TextIOWrapper):
    """Says of an error that it was standard output which could not be written."""

    def write(self, text: str, /) -> int:
        """Write the text."""
        try:
            return super().write(text)
        except OSError as error:
            raise _told(error) from None

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            super().flush()
        except OSError as error:
            raise _told(error) from None


def _told(error: OSError) -> OSError:
    if isinstance(error, BrokenPipeError):
        return error
    return OutputError(error.errno, error.strerror)


class _Nowhere(io.StringIO):
    """Keeps nothing, but remembers whether there was anything."""

    lost = False

    def write(self, text: str, /) -> int:
        """Forget the text."""
        self.lost = self.lost or bool(text.strip())
        return len(text)


_replaced: list[io.TextIOWrapper] = []
"""Streams that another one writes for, which would close the file if they were forgotten."""


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
    if type(sys.stdout) is io.TextIOWrapper:
        sys.stdout = _checked(sys.stdout)


def _checked(stream: io.TextIOWrapper) -> _Output:
    stream.flush()
    checked = _Output(
        stream.buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=True,  # two streams share a buffer, and are to be read in order
    )
    _replaced.extend((stream, checked))
    return checked


def lost_output() -> str | None:
    """Return a sentence if something was printed on a standard output that is closed."""
    is_lost = isinstance(sys.stdout, _Nowhere) and sys.stdout.lost
    return _CLOSED if is_lost else None


def print_all(text: str, file: Any = None) -> None:  # noqa: ANN401
    """Print what somebody asked for, such as a help, where argparse hides that it cannot.

    Args:
        text: What to print.
        file: The stream; standard output if None.

    Raises:
        OutputError: If standard output cannot be written.
        ConfigError: If it is closed.
    """
    print(text, end="", file=file, flush=True)
    check_kept()


def check_kept() -> None:
    """Raise after a command that only prints, if standard output is closed.

    Raises:
        ConfigError: If something was printed and lost.
    """
    sentence = lost_output()
    if sentence is not None:
        raise ConfigError(f"{sentence} Leave it open.")


def say(line: str) -> None:
    """Print a line on standard error, unless that cannot be written, such as on a full disk."""
    try:
        print(line, file=sys.stderr, flush=True)
    except ValueError:  # it was closed meanwhile
        return
    except OSError:
        with contextlib.suppress(OSError):
            _leave(sys.stderr)


def code_of(error: OSError) -> int | None:
    """Return the exit code after standard output could not be written; None of any other error.

    A line on standard error says so, unless nobody reads it, as after ``| head -1``.
    """
    if isinstance(error, BrokenPipeError) and _nobody_reads():
        return 128 + signal.SIGPIPE
    if not isinstance(error, OutputError):
        return None
    _leave(sys.stdout)
    say(
        f"error: Expected standard output that can be written, but got: {error.strerror}. Send it "
        "elsewhere."
    )
    return 2


def _nobody_reads() -> bool:
    """Return whether nobody reads standard output any more, as after ``head``."""
    if isinstance(sys.stdout, _Nowhere):
        return False
    asked = select.poll()
    asked.register(sys.stdout, 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0)):
        return False
    _leave(sys.stdout)
    return True


def _leave(stream: TextIO) -> None:
    """Let go what is buffered, or Python complains once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
