"""The verdict says whether a robust accuracy can be believed, from records alone."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from robust.io.radius import at_budget
from robust.results import signs
from robust.results.evidence import nine
from robust.results.evidence.recorded import Trials
from robust.results.records import Evaluation

Word = Literal[
    "near chance",
    "masked",
    "overstated",
    "suspect",
    "not robust",
    "too few images",
    "unverified",
    "no masking seen",
]
WORDS: tuple[Word, ...] = get_args(Word)
"""All verdicts; of several that hold, the first one is given."""
STYLES: dict[str, str] = {
    **dict.fromkeys(("near chance", "masked", "overstated", "not robust"), "bold red"),
    **dict.fromkeys(("suspect", "too few images", "unverified"), "bold yellow"),
    "no masking seen": "bold green",
}
"""Colours of verdicts in a terminal."""
_FEW = 50
"""Attacked images at least: with fewer, one image is more than two points."""
_WIDE = 0.2
"""Width of the interval at most: a wider one cannot tell a robust accuracy of .4 from .6."""
_NOTHING_LEFT = 0.1
"""Upper end of the interval of a network that is not robust."""
_SOUND = 0.95
"""A sound attack finds more than that in the attack unit test, as its paper asks."""
_RANDOM = "two calls of the defense on the same images give other scores"


class Verdict(NamedTuple):
    """A verdict says whether to believe the robust accuracy of a run.

    ``near chance``: the clean accuracy may be that of a guess. ``masked``: the worst case is lower
    through the adaptive view than through the deployed one. ``overstated``: the deployed view hides
    nothing, but the paper's attacker saw another view and missed what the adaptive one finds.
    ``suspect``: an attack behaves as it does on masked gradients, so a better one may exist. Or the
    adaptive view is weaker than another, or the defense is random at test time. ``not robust``:
    next to nothing is left. ``too few images`` cannot tell. ``unverified``: there is no adaptive
    view in the records, or it does not average over the defense's randomness, or nothing was
    attacked. ``no masking seen``: none of that, which is no proof of robustness.
    """

    word: Word
    reason: str

    def __str__(self) -> str:
        return f"{self.word}: {self.reason}" if self.reason else self.word


def verdict(evaluation: Evaluation) -> Verdict:
    """Return the verdict on an evaluation, from its records.

    Of several threat models it is the one that comes first in `WORDS`; its reason names the others.
    """
    found = verdicts(evaluation)
    if len(found) == 1:
        return next(iter(found.values()))
    first = min(found.values(), key=lambda each: WORDS.index(each.word))
    where = {
        word: [budget for budget, each in found.items() if each.word == word] for word in WORDS
    }
    if len(where[first.word]) == len(found):
        return first
    told = "; ".join(f"{word} at {', '.join(at)}" for word, at in where.items() if at)
    return Verdict(first.word, f"{first.reason} ({told})")


def verdicts(evaluation: Evaluation) -> dict[str, Verdict]:
    """Return the verdict on each threat model of an evaluation, by its name."""
    return {budget: _judged(part) for budget, part in signs.threat_models(evaluation)}


def notes(evaluation: Evaluation) -> list[str]:
    """Return what a reader has to know of weak attacks."""
    if "adaptive" not in evaluation.views:
        return []
    parts = dict(signs.threat_models(evaluation))
    return [note for part in parts.values() for note in signs.weak_attacks(part)]


def _judged(part: Evaluation) -> Verdict:
    for word, reason in _found(part):
        if reason:
            return Verdict(word, reason)
    return Verdict("no masking seen", "")


def _found(part: Evaluation) -> Iterator[tuple[Word, str]]:
    """Yield each verdict in order with its reason, which is empty where it does not hold."""
    if not part.views:
        yield "unverified", "nothing was attacked"
        return
    yield "near chance", signs.near_chance(part)
    random, is_averaged = part.header.random, part.header.averaged
    if "adaptive" in part.views:
        masked, overstated = (signs.missed(part, view) for view in ("deployed", "published"))
        both = "; ".join(filter(None, (masked, overstated)))
        yield ("masked" if masked else "overstated"), both
        yield "suspect", _suspicion(part) or (_RANDOM if random and is_averaged else "")
    nothing_left = _nothing_left(part)
    trials = trials_of(part)
    if trials is not None and not nothing_left:
        yield "suspect", missed_by_unit_test(trials) or nine.raised(part, trials)
    yield "not robust", nothing_left
    yield "too few images", _too_few(part)
    if "adaptive" not in part.views:
        yield "unverified", "no adaptive view was attacked"
    elif random and not is_averaged:
        yield "unverified", f"{_RANDOM}, and no attack averaged over its randomness (EOT)"
    elif trials is not None:
        yield "unverified", _not_measured(trials)


def trials_of(part: Evaluation) -> Trials | None:
    """Return what was tried under the threat model of a part, through an adaptive view."""
    if part.evidence is None or "adaptive" not in part.views:
        return None
    budget = next(iter(part.header.attacks.values())).budget
    return at_budget(part.evidence.trials, budget)


def missed_by_unit_test(trials: Trials) -> str:
    """Return that the strongest attack misses what is there, through the adaptive view."""
    score = trials.scores.get("adaptive")
    if score is None or not score.found.n or score.found.interval[1] >= _SOUND:
        return ""
    return (
        f"in the attack unit test {score.attack} finds {signs.percent(score.found)} of what is "
        "there through the adaptive view"
    )


def _not_measured(trials: Trials) -> str:
    score = trials.scores.get("adaptive")
    if score is None:
        return f"attack unit test not measured: {trials.reason.rstrip('.')}"
    if not score.found.n:
        return "attack unit test not measured: random points find what is there on all images"
    return ""


def _suspicion(part: Evaluation) -> str:
    suspicions = (
        signs.weaker_than(part),
        signs.weak_iteration(part),
        signs.black_box(part),
        signs.not_finite(part),
        signs.no_gradient(part),
    )
    return next(filter(None, suspicions), "")


def _nothing_left(part: Evaluation) -> str:
    """Return the worst case over all views if it is next to nothing, at an eps that is a bound."""
    rate = signs.worst(part)
    if rate.interval[1] >= _NOTHING_LEFT or not _is_bounded(part):
        return ""
    return f"robust accuracy {signs.percent(rate)} over all views"


def _is_bounded(part: Evaluation) -> bool:
    return all(math.isfinite(info.eps) for info in part.header.attacks.values())


def _too_few(part: Evaluation) -> str:
    rows = part.images()
    attacked = int(rows["attacked"].sum())
    low, high = signs.worst(part).interval
    if attacked < _FEW:
        return f"{attacked} attacked, expected at least {_FEW}"
    if high - low > _WIDE:
        return f"of {len(rows)} images, the interval is {100 * (high - low):.0f} points wide"
    return ""
