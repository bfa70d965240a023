"""Sizes of what is tried, so that evidence costs a small share of the attacks."""

import math
from typing import NamedTuple

from robust.vocabulary import EvidenceLevel

_SHARE, _LEAST = 0.1, 20.0
"""Share of the cost of all attacks that evidence may have, and seconds that it always may take."""
_OF_UNIT_TEST = 0.6
"""Share of that for the attack unit test."""
_GRADIENT = 3
"""A pass with its gradient costs so many passes, about."""
_IMAGES, _POINTS = 32, 250
"""The unit test has no fewer of both."""
_RUNS, _PASSES = 8, 2300
"""So often are images of the sample attacked, and so many passes do noise and queries take."""
_FEWEST = 8
"""Images of the sample at least."""


class Sizes(NamedTuple):
    """How much is tried under one threat model."""

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


QUICK = Sizes(images=64, points=1000, sample=32, noise=50, queries=1000)
FULL = Sizes(images=256, points=1000, sample=128, noise=1000, queries=5000)


class Costs(NamedTuple):
    """What was paid for the attacks, in forward passes, as records say."""

    suite: float
    """Of all images under all attacks."""
    attack: float
    """Of an image under the strongest attack, through all views."""
    forward: float
    """Seconds of a pass."""

    def sizes(self, level: EvidenceLevel, threat_models: int) -> Sizes:
        """Return how much is tried: all of it if ``full``, else what the costs allow.

        Images of the unit test are halved first, then points.
        """
        if level == "full":
            return FULL
        passes = _SHARE * _GRADIENT * self.suite
        if self.forward > 0:
            passes = max(passes, _LEAST / self.forward / threat_models)
        images, points = QUICK.images, QUICK.points
        while images * (points + _GRADIENT * self.attack) > _OF_UNIT_TEST * passes:
            if points <= _POINTS:
                break
            images, points = (images // 2, points) if images > _IMAGES else (images, points // 2)
        paid = _RUNS * _GRADIENT * self.attack + _PASSES
        affordable = math.floor((1 - _OF_UNIT_TEST) * passes / paid)
        sample = min(QUICK.sample, max(_FEWEST, affordable))
        noise, queries = (most * sample // QUICK.sample for most in (QUICK.noise, QUICK.queries))
        return Sizes(images, points, sample, noise, queries)
