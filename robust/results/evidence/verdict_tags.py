"""Tags of a verdict are its word and its reasons without their figures, to choose runs by."""

from collections.abc import Callable, Iterable, Iterator

from robust.results import signs
from robust.results.evidence.nine import nine
from robust.results.records import Evaluation
from robust.results.verdict import WORDS, missed_by_unit_test, trials_of, verdict

_SIGN = "sign: "
_RECORDED: dict[str, Callable[[Evaluation], str]] = {
    "views differ": lambda part: signs.missed(part, "deployed") or signs.weaker_than(part),
    "published view misses": lambda part: signs.missed(part, "published"),
    "one step beats many": signs.weak_iteration,
    "no gradient beats gradients": signs.black_box,
    "no gradient": lambda part: signs.no_gradient(part) or signs.not_finite(part),
}
"""Signs that records alone may raise; where the nine signs have one too, under its name."""


def tags_of(evaluation: Evaluation) -> list[str]:
    """Return the word of the verdict, and ``sign: NAME`` for each sign that is raised."""
    parts = [part for _, part in signs.threat_models(evaluation) if len(part.rows)]
    raised = dict.fromkeys(name for part in parts for name in _raised(part))
    return [verdict(evaluation).word, *(f"{_SIGN}{name}" for name in raised)]


def with_verdict(tags: Iterable[str], told: Iterable[str]) -> tuple[str, ...]:
    """Return the tags of a run with those of its verdict, instead of those of an earlier one.

    Args:
        tags: Those that it has.
        told: What `tags_of` returned.
    """
    own = [tag for tag in tags if tag not in WORDS and not tag.startswith(_SIGN)]
    return tuple(dict.fromkeys([*own, *told]))


def _raised(part: Evaluation) -> Iterator[str]:
    if signs.near_chance(part):
        yield "clean accuracy of a guess"
    if part.header.random:
        yield "two calls differ"
    if "adaptive" not in part.views:
        return
    yield from (name for name, look in _RECORDED.items() if look(part))
    trials = trials_of(part)
    if trials is not None:
        yield from (sign.name for sign in nine(part, trials) if sign.raised)
        if missed_by_unit_test(trials):
            yield "attack unit test"
