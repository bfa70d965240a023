"""A status says what is being done, how much of it is done, and how long it may take."""

from collections.abc import Callable
from typing import NamedTuple

Clock = Callable[[], float]
"""Seconds from any start, which never go back."""


class Status(NamedTuple):
    """A status is what a display shows at one moment."""

    title: str
    """What is being done, such as ``quick: pgd, adaptive``."""
    done: float
    """How much of ``total``, part of what has begun included."""
    total: int
    unit: str
    """What is counted; empty if nothing is."""
    words: tuple[str, ...] = ()
    """Such as the time left."""
    detail: str = ""
    """It says that work goes on, where nothing else does."""

    @property
    def counted(self) -> str:
        """Say how much is done, in complete units."""
        return f"{int(self.done)} of {self.total} {self.unit}" if self.unit else ""

    @property
    def line(self) -> str:
        """Say all of it in one line."""
        head = f"{self.title}: {self.counted}".rstrip(" :")
        return ", ".join(filter(None, (head, *self.words, self.detail)))


Source = Callable[[], Status]
"""Returns the status of this moment; a display calls it from a thread of its own."""


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds, such as ``0:02:10``."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
