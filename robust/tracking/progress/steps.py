"""Work of several steps of which nobody knows how long they take."""

import time

from robust.tracking.progress.status import Clock, Status, duration


class Steps:
    """Steps say which one has begun, and that it goes on; they promise no time.

    Args:
        title: Of the work.
        total: Number of steps; 0 if there is but one.
        clock: Seconds; the time of the machine if not given.
    """

    def __init__(self, title: str, total: int = 0, clock: Clock = time.monotonic) -> None:
        self._title, self._total, self._clock = title, total, clock
        self._start, self._begun, self._beats, self._name = clock(), 0, 0, ""

    def begin(self, name: str) -> None:
        """Note which step begins now.

        Args:
            name: What it does.
        """
        self._begun, self._beats, self._name = self._begun + 1, 0, name

    def beat(self, count: int) -> None:
        """Note that a step goes on.

        Args:
            count: Images that a network was given.
        """
        self._beats += count

    def status(self) -> Status:
        """Return what a display shows."""
        done = max(0, self._begun - 1)
        words = (f"{duration(self._clock() - self._start)} gone",)
        detail = f"{self._beats} forward passes" if self._beats else ""
        title = f"{self._title}: {self._name}" if self._name else self._title
        return Status(title, done, self._total, "parts" if self._total else "", words, detail)
