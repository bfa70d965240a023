"""A step that fails costs no other, and a note says what was left out."""

import contextlib
from collections.abc import Iterator

from robust.errors import ConfigError
from robust.io.names import printable
from robust.io.streams import OutputError, say

_LONGEST = 300


def reason(error: BaseException) -> str:
    """Return an error in one line, with its class unless it is a `ConfigError`."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    if isinstance(error, ConfigError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def note(text: str) -> None:
    """Print a note on standard error, as one line of at most 300 characters."""
    line = printable(f"note: {' '.join(text.split())}")
    say(line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}...")


class Steps:
    """Steps are tried one by one; an error is kept, and the next step follows.

    Standard output that cannot be written ends all of them, as does what is no `Exception`.
    """

    def __init__(self) -> None:
        self.failed: dict[str, Exception] = {}
        """The error of each step that failed, by the name of the step."""

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Try the block inside, which ``what`` names."""
        try:
            yield
        except (BrokenPipeError, OutputError):
            raise
        except Exception as error:
            self.failed[what] = error


class Figures(Steps):
    """Figures are made after the tables; one that cannot be made is left out with a note."""

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Try to make a figure; ``what`` names it in the note."""
        with super().step(what):
            yield
        if what in self.failed:
            note(f"{what} is left out: {reason(self.failed[what])}")


def sentences(steps: Steps) -> list[str]:
    """Return sentences on what is left out after steps that failed, and why."""
    return [f"{what} is left out: {reason(error)}" for what, error in steps.failed.items()]
