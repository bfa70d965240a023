"""Work of several parts, each with a speed of its own, from which the time left follows."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, final

from robust.tracking.progress.status import Clock, Status, duration


@dataclass
class _Part:
    total: int
    done: int
    measured: int = 0
    """Units whose time was taken; what was done by an earlier process is not among them."""
    seconds: float = 0.0

    def seconds_of(self, units: int) -> float | None:
        """Return how long so many units take; None before the first was measured."""
        return units * self.seconds / self.measured if self.measured else None


class _Begun(NamedTuple):
    """Units of one part that are worked on together."""

    part: str
    units: int
    since: float
    beating: int
    """Units that are worked on at all."""
    most: int | None
    """Beats of each of these at most."""


class _Left(NamedTuple):
    seconds: float
    """Of all whose speed is known."""
    is_unknown: bool
    """Whether there are others."""
    at_most: float | None
    """What has begun takes that long at most, where only a bound of it is known."""


@final
class Parts:
    """Parts count what is done of each, and say how long the rest takes as far as that is known.

    What has begun reports by `beat`, such as at each forward pass of a network.

    Args:
        title: Of the work, such as the name of a suite.
        totals: Units of each part.
        done: Units that were done before.
        unit: What a unit is called.
        clock: Seconds; the time of the machine if not given.
    """

    def __init__(
        self,
        title: str,
        totals: Mapping[str, int],
        done: Mapping[str, int] | None = None,
        unit: str = "images",
        clock: Clock = time.monotonic,
    ) -> None:
        self._title, self._unit, self._clock = title, unit, clock
        known = done or {}
        self._parts = {name: _Part(total, known.get(name, 0)) for name, total in totals.items()}
        self._start, self._beats = clock(), 0
        self._begun: _Begun | None = None
        self.note = ""
        """What is known of the result so far."""

    @contextlib.contextmanager
    def part(
        self, name: str, units: int, beating: int | None = None, most: int | None = None
    ) -> Iterator[None]:
        """Count units of a part as done when the block ends without an error.

        Args:
            name: Of the part.
            units: That are done together.
            beating: Those of them that take any work; all if None.
            most: Beats of each of these at most, where that is known before.
        """
        asked = units if beating is None else beating
        self._begun, self._beats = _Begun(name, units, self._clock(), asked, most), 0
        try:
            yield
            part = self._parts[name]
            part.seconds += self._clock() - self._begun.since
            part.measured += units
            part.done += units
        finally:
            self._begun = None

    def beat(self, count: int) -> None:
        """Note that what has begun goes on.

        Args:
            count: Beats, such as images that a network was given.
        """
        self._beats += count

    def status(self) -> Status:
        """Return what a display shows."""
        begun, now = self._begun, self._clock()
        total = sum(part.total for part in self._parts.values())
        done = float(sum(part.done for part in self._parts.values()))
        words = [f"{duration(now - self._start)} gone", *self._left_in_words(begun, now)]
        if begun is not None:
            done += min(self._share(begun, now) * begun.units, max(0.0, begun.units - 0.5))
        title = self._title if begun is None else f"{self._title}: {begun.part}"
        words += [self.note] * bool(self.note)
        detail = self._beats_in_words(begun)
        return Status(title, done, total, self._unit, tuple(words), detail)

    def _share(self, begun: _Begun, now: float) -> float:
        """Return how much of what has begun is done; 0 as long as nobody knows."""
        expected = self._parts[begun.part].seconds_of(begun.units)
        if expected:
            return (now - begun.since) / expected
        return self._beats / (begun.most * begun.beating) if begun.most and begun.beating else 0.0

    def _left(self, begun: _Begun | None, now: float) -> _Left:
        seconds, unknown, at_most = 0.0, False, None
        for name, part in self._parts.items():
            is_begun = begun is not None and name == begun.part
            units = part.total - part.done
            expected = part.seconds_of(units)
            if begun is not None and is_begun:
                gone = now - begun.since
                if expected is not None:
                    # One that takes longer than the ones before says nothing of its end.
                    unknown = unknown or gone > (part.seconds_of(begun.units) or 0.0)
                    seconds += max(0.0, expected - gone)
                elif self._beats and (beats := self._beats_left(begun)):
                    beats += (begun.most or 0) * (units - begun.units)
                    at_most = gone / self._beats * beats
                else:
                    unknown = True
            elif expected is not None:
                seconds += expected
            else:
                unknown = unknown or units > 0
        return _Left(seconds, unknown, at_most)

    def _beats_left(self, begun: _Begun) -> int:
        """Return how many beats are left at most; 0 if nobody knows, as after more than these."""
        return max(0, (begun.most or 0) * begun.beating - self._beats)

    def _left_in_words(self, begun: _Begun | None, now: float) -> Iterator[str]:
        seconds, is_unknown, at_most = self._left(begun, now)
        if not is_unknown:
            about = "at most " if at_most is not None else ""
            yield f"{about}{duration(seconds + (at_most or 0.0))} left"
            return
        yield f"over {duration(seconds)} left" if seconds >= 1 else "time left not known yet"
        if at_most is not None:
            yield f"this at most {duration(at_most)}"

    def _beats_in_words(self, begun: _Begun | None) -> str:
        if begun is None or not self._beats or not begun.beating:
            return ""
        most = f" of at most {begun.most}" if self._beats_left(begun) else ""
        return f"{round(self._beats / begun.beating)}{most} passes an image"
