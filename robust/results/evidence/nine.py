"""The nine signs of masking, each raised or not, with the figures that say so.

Athalye et al. 2018 (https://arxiv.org/abs/1802.00420, section 3.1) and Carlini et al. 2019
(https://arxiv.org/abs/1902.06705, section 5). What records do not show was tried on a small sample
through the adaptive view (`robust.evaluation.evidence`).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from robust.results import signs
from robust.results.evidence.recorded import Trials
from robust.results.rates import Rate
from robust.results.records import Evaluation

TOO_FEW = "too few images left to tell"
_NOISE = 0.01
"""Noise that finds more than that of what attacks left would not be beaten by a sound attack."""
_MUCH = 0.05
"""Share of what attacks left that twice the steps, or queries, may find."""
_POINTS = 0.05
"""Robust accuracy that this is at least: any attack finds some images that are near a boundary."""
_LEAST = 2
"""A single image may lie at a boundary by chance."""
_MOST = 0.5
"""Fewer images without a gradient are those far from a boundary."""


class Sign(NamedTuple):
    """A sign of masking."""

    name: str
    figures: str
    raised: bool = False
    tried: bool = True
    rare: bool = False
    """Whether it is not raised, and so few images hardly could."""
    untold: bool = False
    """Whether it is not raised, and could not have been: attacks left too few images to tell."""

    @property
    def words(self) -> str:
        """Return it with its figures."""
        return f"{self.name} ({self.figures})"

    @property
    def found(self) -> str:
        """Return in words whether it is raised."""
        if not self.tried:
            return "not measured"
        return "raised" if self.raised else TOO_FEW if self.untold else "no"


def nine(part: Evaluation, trials: Trials) -> list[Sign]:
    """Return all signs under one threat model, in the order of docs/verdict.md.

    Args:
        part: Records under one threat model, with an adaptive view.
        trials: What was tried beside them.
    """
    return [
        _one_step(part, trials),
        _queries(part, trials),
        _found("noise finds what attacks missed", trials, "noise", _NOISE),
        _growth(trials),
        _unbounded(part, trials),
        _much("twice the steps find much more", part, trials, "doubled"),
        _flat(part, trials),
        _views(part),
        _random(part, trials),
    ]


def raised(part: Evaluation, trials: Trials) -> str:
    """Return the first sign of the sample that is raised, with its figures.

    What records alone say of views and randomness has verdicts of its own.
    """
    found = [_views(part), *([_random(part, trials)] if part.header.random else [])]
    return next((s.words for s in nine(part, trials) if s.raised and s not in found), "")


def sampled(trials: Trials) -> int:
    """Return how many images the sample has, through which most signs are looked for."""
    return max((rate.n for _, rate in _named(trials, "flat/")), default=0)


def _untried(name: str) -> Sign:
    return Sign(name, "not tried", tried=False)


def _beaten(
    name: str, recorded: str, trials: Trials, key: str, *, only_sampled: bool = True
) -> Sign:
    """Return whether a simple attack leaves less than all attacks of many steps together."""
    if recorded:
        return Sign(name, recorded, raised=True)
    simple, many = trials.rates.get(key), trials.rates.get("iterated")
    if simple is None or many is None:
        return _untried(name)
    figures = f"robust {_of(simple)} against {_of(many)}"
    is_raised = many.is_above(simple)
    is_rare = only_sampled and not is_raised and _hardly_differ(simple.n)
    return Sign(name, figures, is_raised, rare=is_rare)


def _hardly_differ(n: int) -> bool:
    """Whether rates of so few images do not differ, even if one is all of them and one is half."""
    return not Rate(n, n).is_above(Rate(n // 2, n))


def _one_step(part: Evaluation, trials: Trials) -> Sign:
    is_sampled = not signs.compares(part, signs.SINGLE_STEP)
    recorded = signs.weak_iteration(part)
    name = "one step beats many"
    return _beaten(name, recorded, trials, "one_step", only_sampled=is_sampled)


def _queries(part: Evaluation, trials: Trials) -> Sign:
    """Return whether an attack without gradients beats gradients, or finds much that they left."""
    name, is_sampled = "no gradient beats gradients", not signs.compares(part, signs.BLACK_BOX)
    beaten = _beaten(name, signs.black_box(part), trials, "queries", only_sampled=is_sampled)
    found = _much(name, part, trials, "queries/left")
    if beaten.raised or not found.tried:
        return beaten
    if found.raised or not beaten.tried:
        return found
    figures = f"{beaten.figures}, {found.figures}"
    return beaten._replace(figures=figures, rare=beaten.rare and found.untold)


def _found(
    name: str, trials: Trials, key: str, most: float, left: float = 1.0, points: float = 0.0
) -> Sign:
    """Return whether more is found of what attacks left than may be.

    Args:
        name: Of the sign.
        trials: What was tried.
        key: Of the images on which more was found.
        most: Share of them that may be.
        left: Share of all images that attacks left.
        points: Share of all images that may be.
    """
    rate = trials.rates.get(key)
    if rate is None:
        return _untried(name)
    if not rate.n:
        return Sign(name, "nothing is left")

    def is_much(found: Rate) -> bool:
        is_beyond = found.hits >= _LEAST and found.interval[0] > most
        return is_beyond and found.value * left > points

    # Even all of them would not be enough.
    is_untold = not is_much(Rate(rate.n, rate.n))
    return Sign(name, f"{_of(rate)} of what they left", is_much(rate), untold=is_untold)


def _much(name: str, part: Evaluation, trials: Trials, key: str) -> Sign:
    """Return whether so much more is found that the robust accuracy would be another."""
    left = signs.worst(part, "adaptive").value
    return _found(name, trials, key, _MUCH, left, _POINTS)


_EPS = {"eps/half": "half", "eps/same": "eps", "eps/double": "double", "eps/unbounded": "unbounded"}


def _growth(trials: Trials) -> Sign:
    name = "success does not grow with eps"
    rates = [rate for key in _EPS if (rate := trials.rates.get(key)) is not None]
    if len(rates) < 2:
        return _untried(name)
    falls = any(
        later.is_above(earlier) for i, earlier in enumerate(rates) for later in rates[i + 1 :]
    )
    known = [
        f"{word} {_of(trials.rates[key])}" for key, word in _EPS.items() if key in trials.rates
    ]
    is_rare = not falls and all(map(_hardly_differ, {rate.n for rate in rates}))
    return Sign(name, f"robust at {', '.join(known)}", falls, rare=is_rare)


def _unbounded(part: Evaluation, trials: Trials) -> Sign:
    """Return whether an attack on all of [0, 1] leaves more than a guess would."""
    name, rate = "an unbounded attack fails", trials.rates.get("eps/unbounded")
    if rate is None:
        return _untried(name)
    labels = part.images()["label"]
    chance = np.unique(labels, return_counts=True)[1].max() / len(labels)
    return Sign(name, f"robust {_of(rate)}", raised=bool(rate.interval[0] > chance))


def _flat(part: Evaluation, trials: Trials) -> Sign:
    name = "no gradient"
    rates = dict(_named(trials, "flat/"))
    recorded = signs.no_gradient(part) or signs.not_finite(part)
    if recorded:
        return Sign(name, recorded, raised=True)
    if not rates:
        return _untried(name)
    figures = ", ".join(f"{loss} {_of(rate)}" for loss, rate in rates.items())
    return Sign(name, figures, raised=any(rate.value > _MOST for rate in rates.values()))


def _named(trials: Trials, start: str) -> Iterator[tuple[str, Rate]]:
    for key, rate in trials.rates.items():
        if key.startswith(start) and rate.n:
            yield key.removeprefix(start), rate


def _views(part: Evaluation) -> Sign:
    found = signs.missed(part, "deployed") or signs.weaker_than(part)
    accuracies = ", ".join(f"{v} {_of(signs.worst(part, v))}" for v in part.views)
    return Sign("views differ", found or f"robust {accuracies}", raised=bool(found))


def _random(part: Evaluation, trials: Trials) -> Sign:
    name, alone = "two calls differ", trials.rates.get("alone")
    if part.header.random:
        one, most = trials.rates.get("calls/one"), trials.rates.get("calls/most")
        if one is None or most is None:
            return Sign(name, "on the same images", raised=True)
        calls = f"in most of {part.header.judged} calls {_of(most)}"
        return Sign(name, f"robust in one call {_of(one)}, {calls}", raised=True)
    if alone is None:
        return Sign(name, "not on the same images")
    return Sign(name, f"alone and in a batch at {_of(alone)}", raised=alone.hits > 0)


def _of(rate: Rate) -> str:
    return f"{rate.hits}/{rate.n}"
