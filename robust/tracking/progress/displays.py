"""Displays show a status: a bar in a terminal, a line in a notebook, else a line a minute."""

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Any, final

from rich.console import Console, Group
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from robust.io.names import printable
from robust.io.streams import say
from robust.tracking.progress.status import Clock, Source, Status

EVERY = 1.0
"""Seconds from one look of a bar to the next."""
_MINUTE = 60.0
_WIDEST = 110
"""Columns that a bar takes at most."""


class Display(ABC):
    """A display shows the status of a source again and again, from a thread of its own.

    Abstract: a subclass shows one status. Leaving it removes what stands in the way of tables.

    Args:
        every: Seconds from one status to the next.
        clock: Seconds; the time of the machine if not given.
    """

    def __init__(self, every: float = EVERY, clock: Clock = time.monotonic) -> None:
        self._every, self._clock, self._last = every, clock, clock()
        self._source: Source | None = None
        self._lock, self._done = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="progress")

    @contextlib.contextmanager
    def of(self, source: Source) -> Iterator[None]:
        """Show another source until the block ends, then the earlier one.

        Args:
            source: Returns the status of a moment.
        """
        earlier, self._source = self._source, source
        try:
            yield
            with self._lock:
                self.end(source())
        finally:
            self._source = earlier

    def offer(self, source: Source) -> None:
        """Show a status if it is time.

        Args:
            source: Returns it, and is not called if it is too early.
        """
        now = self._clock()
        if now - self._last >= self._every:
            self._last = now
            with self._lock:
                self.show(source())

    def __enter__(self) -> "Display":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, also after an error, and wait for the thread."""
        self._done.set()
        self._thread.join()

    @abstractmethod
    def show(self, status: Status) -> None:
        """Show a status."""

    @abstractmethod
    def end(self, status: Status) -> None:
        """Show the last status of what has ended without an error, if that is to stay."""

    def _run(self) -> None:
        # A terminal may be gone; then there is nobody to show anything.
        with contextlib.suppress(OSError, ValueError):
            while not self._done.wait(min(EVERY, self._every)):
                source = self._source
                if source is not None:
                    self.offer(source)


@final
class Silent(Display):
    """It shows nothing, such as on all processes but the first."""

    def __enter__(self) -> "Silent":
        """Begin without a thread."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""

    def show(self, status: Status) -> None:
        """Show nothing."""

    def end(self, status: Status) -> None:
        """Leave nothing, since a table follows."""


@final
class Lines(Display):
    """Lines are printed once a minute, where there is no terminal.

    Args:
        clock: Seconds; the time of the machine if not given.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__(_MINUTE, clock)

    def show(self, status: Status) -> None:
        """Print a status."""
        say(printable(status.line))

    def end(self, status: Status) -> None:
        """Leave nothing, since a table follows."""


@final
class Bar(Display):
    """A bar in a terminal, which is gone afterwards.

    Args:
        console: Where it is.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> "Bar":
        """Begin."""
        self._live.start()
        super().__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bar, also after an error."""
        super().__exit__(kind, error, trace)
        self._live.stop()

    def show(self, status: Status) -> None:
        """Show a status."""
        self._live.update(rendered(status), refresh=True)

    def end(self, status: Status) -> None:
        """Leave nothing, since a table follows."""


def rendered(status: Status) -> Constrain:
    """Return a status as a bar with its title and count, and what else is known below it."""
    line = Table.grid(
        Column(no_wrap=True), Column(ratio=1, min_width=8), Column(no_wrap=True), padding=(0, 1)
    )
    line.expand = True
    bar = ProgressBar(max(1, status.total), status.done, pulse=not status.unit)
    line.add_row(Text(printable(status.title)), bar, Text(status.counted))
    below = filter(None, (", ".join(status.words), status.detail))
    return Constrain(Group(line, *(Text(printable(text)) for text in below)), _WIDEST)


@final
class Cell(Display):
    """A line below a notebook's cell, which changes in its place and stays at its last status.

    It needs no widgets.
    """

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None

    def show(self, status: Status) -> None:
        """Write a status over the last one."""
        from IPython.display import display  # of the notebook

        shown = {"text/plain": printable(status.line)}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    def end(self, status: Status) -> None:
        """Write the last status."""
        self.show(status)
