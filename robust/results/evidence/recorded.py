"""Evidence as it is kept beside records: counts, from which scores and signs are derived."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from robust.results.rates import Rate
from robust.vocabulary import EvidenceLevel

_LARGEST = 2**53
"""More images than any data set has; a larger count has no float."""


@dataclass(frozen=True)
class Score:
    """A score of the attack unit test, of one attack through one view.

    Args:
        attack: Name of the attack, the strongest of the suite through that view.
        found: Images on which it finds what is there, of those that are no too easy.
        random: Images on which random points succeed.
        separated: Images whose read-out separates its points.
        points: Points around each image.
    """

    attack: str
    found: Rate
    random: Rate
    separated: Rate
    points: int


@dataclass(frozen=True)
class Trials:
    """Trials were made under one threat model.

    Args:
        scores: Of the attack unit test, by view.
        reason: Why there are none.
        rates: What else was counted on a small sample, by `robust.results.evidence.nine` 's names.
    """

    scores: Mapping[str, Score] = field(default_factory=dict)
    reason: str = ""
    rates: Mapping[str, Rate] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """Evidence says whether the attacks of a suite would have found what is there.

    Args:
        level: How much was tried.
        asked: Number of images that the suite had.
        views: They were attacked.
        seconds: How long it took.
        trials: By the name of the threat model.
        code_sha256: Hash of the code that tried it.
        features: Layer that was named for the unit test; empty if none was.
    """

    level: EvidenceLevel
    asked: int
    views: tuple[str, ...]
    seconds: float
    trials: Mapping[str, Trials]
    code_sha256: str = ""
    features: str = ""

    def covers(
        self, level: str, asked: int, views: set[str], code_sha256: str, features: str | None = None
    ) -> bool:
        """Return whether nothing more is asked for than what is known."""
        enough = self.level == "full" or level == "quick"
        same = self.code_sha256 == code_sha256 and features in (None, self.features)
        return enough and same and self.asked >= asked and views <= set(self.views)

    def plain(self) -> dict[str, Any]:
        """Return it in JSON's types, with a checksum."""
        trials = {
            budget: {
                "unit_test": {
                    view: {
                        "attack": score.attack,
                        "found": list(score.found),
                        "random": list(score.random),
                        "separated": list(score.separated),
                        "points": score.points,
                    }
                    for view, score in each.scores.items()
                },
                "reason": each.reason,
                "rates": {name: list(rate) for name, rate in each.rates.items()},
            }
            for budget, each in self.trials.items()
        }
        content = {
            "level": self.level,
            "asked": self.asked,
            "views": list(self.views),
            "seconds": self.seconds,
            "trials": trials,
            "code_sha256": self.code_sha256,
            "features": self.features,
        }
        return {**content, "checksum": _checksum(content)}

    @staticmethod
    def from_plain(content: Mapping[str, Any]) -> "Evidence":
        """Return evidence as `plain` gives it.

        Raises:
            ValueError: If it is of another form, or was changed; also another error of `DAMAGE`.
        """
        rest = {key: value for key, value in content.items() if key != "checksum"}
        if content["checksum"] != _checksum(rest):
            raise ValueError("a checksum that does not match")
        trials = {budget: _trials(each) for budget, each in rest.pop("trials").items()}
        views = tuple(map(str, rest.pop("views")))
        _check_types(rest)
        return Evidence(trials=trials, views=views, **rest)


def _check_types(rest: Mapping[str, Any]) -> None:
    """Raise unless what is no count of images has the type that it is compared by."""
    fits = (
        rest["level"] in get_args(EvidenceLevel)
        and type(rest["asked"]) is int
        and type(rest["seconds"]) in (int, float)
        and isinstance(rest["code_sha256"], str)
        and isinstance(rest.get("features", ""), str)
    )
    if not fits:
        raise ValueError("a value of another type")


def _trials(content: Mapping[str, Any]) -> Trials:
    scores = {view: _score(each) for view, each in content["unit_test"].items()}
    rates = {name: _rate(pair) for name, pair in content["rates"].items()}
    return Trials(scores, str(content["reason"]), rates)


def _score(content: Mapping[str, Any]) -> Score:
    found, random, separated = (_rate(content[key]) for key in ("found", "random", "separated"))
    return Score(str(content["attack"]), found, random, separated, int(content["points"]))


def _rate(pair: Any) -> Rate:  # noqa: ANN401 (what a file holds)
    hits, n = map(int, pair)
    if not 0 <= hits <= n <= _LARGEST:
        raise ValueError("a count that is none")
    return Rate(hits, n)


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
