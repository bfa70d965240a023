"""Sizes of what is tried, and a clock that bounds what evidence costs."""

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch

from robust.vocabulary import EvidenceLevel

_SHARE, _LEAST = 0.1, 20.0
"""Share of the cost of all attacks that evidence may have, and seconds that it always may take."""
OF_UNIT_TEST = 0.5
"""Share of that for the attack unit test."""
_OF_POINTS = 0.5
"""Share of that for passes of the points around images."""
_POINTS = 250
"""There are no fewer of them."""
_OF_QUERIES = 0.1
"""Share of all for queries."""
_QUERIES = 250
"""There are no fewer of them for an image."""
_LONGER = 1.5
"""Images of the next part may take so many times as long as those before it."""


class Sizes(NamedTuple):
    """How much is tried under one threat model at most."""

    images: int
    """Of the attack unit test."""
    points: int
    """Around each of them."""
    sample: int
    """Images of which a variant of the attack is tried."""
    noise: int
    """Random points around an image."""
    queries: int
    """Of an attack without gradients on an image that the suite left."""
    first: "First"
    """Images of both that are tried in any case."""


class First(NamedTuple):
    """So many images are tried however long that takes."""

    images: int
    """Of the attack unit test."""
    sample: int
    left: int
    """Of what the suite left, on which an attack takes longest."""


QUICK = Sizes(64, 1000, sample=32, noise=50, queries=1000, first=First(8, 4, 2))
FULL = Sizes(256, 1000, sample=128, noise=1000, queries=5000, first=First(256, 128, 128))


class Clock:
    """A clock counts seconds on cores of its own, whatever else runs on them."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        """How long it has been, or less where the process had to wait for its cores."""
        taken = time.process_time() - self._cpu
        wall = time.perf_counter() - self._wall
        return min(wall, taken / torch.get_num_threads() or math.inf)


class Allowance(NamedTuple):
    """How long evidence may take under one threat model, in seconds."""

    seconds: float
    level: EvidenceLevel

    @classmethod
    def of(cls, level: EvidenceLevel, attacks: float, threat_models: int) -> "Allowance":
        """Return the share of what the attacks took, or what it always may take.

        Args:
            level: If ``full``, there is no end.
            attacks: Seconds of all attacks under the threat model.
            threat_models: So many share what evidence always may take.
        """
        share = max(_SHARE * attacks, _LEAST / threat_models)
        return cls(math.inf if level == "full" else share, level)

    def sizes(self, forward: float) -> Sizes:
        """Return how much is tried at most, where a pass of the defense takes so many seconds."""
        if self.level == "full":
            return FULL
        points, most = QUICK.points, _OF_POINTS * OF_UNIT_TEST * self.seconds
        while points > _POINTS and QUICK.images * points * forward > most:
            points //= 2
        queries, most = QUICK.queries, _OF_QUERIES * self.seconds
        while queries > _QUERIES and QUICK.sample * queries * forward > most:
            queries //= 2
        noise = QUICK.noise * queries // QUICK.queries
        return QUICK._replace(points=points, queries=queries, noise=noise)


def doubling(first: int, most: int, seconds: float) -> Iterator[slice]:
    """Yield parts of some images, each as large as all before it, while there is time.

    The first part comes in any case. A further one comes if it would end in time, should an image
    take a half longer than those before it.

    Args:
        first: Images of the first part.
        most: Number of images.
        seconds: For all parts.
    """
    clock, done = Clock(), min(first, most)
    yield slice(0, done)
    while done < most and (1 + _LONGER) * clock.seconds <= seconds:
        part = slice(done, min(2 * done, most))
        yield part
        done = part.stop
