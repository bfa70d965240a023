"""What speaks for and against a robust accuracy: verdict, nine signs, attack unit test, ties."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from robust.io import files
from robust.report.card.numbers import number, tied
from robust.report.protocols import Entry
from robust.results import signs
from robust.results.metrics import Rate
from robust.results.records import Evaluation
from robust.results.stored.headers import DAMAGE
from robust.results.verdict import verdicts

NOT_MEASURED = "not measured"
_LARGEST = 64_000_000
_RECORDED: Mapping[str, Callable[[Evaluation], str]] = {
    "one step beats many": signs.weak_iteration,
    "no gradient beats gradients": signs.black_box,
    "no gradient": lambda part: signs.no_gradient(part) or signs.not_finite(part),
    "views differ": lambda part: signs.missed(part, "deployed") or signs.weaker_than(part),
    "two calls differ": lambda part: "on the same images" if part.header.random else "",
}
"""Signs that records show."""
NINE = (
    *("one step beats many", "no gradient beats gradients", "noise finds what attacks missed"),
    *("success does not grow with eps", "an unbounded attack fails"),
    *("twice the steps find much more", "no gradient", "views differ", "two calls differ"),
)
"""All signs, in the order of docs/verdict.md."""
_TRIED = {
    "noise finds what attacks missed": "noise",
    "success does not grow with eps": "eps/double",
    "an unbounded attack fails": "eps/unbounded",
    "twice the steps find much more": "doubled",
}
"""Signs that were tried beside the records, each with the count that says so."""


def evidence(entry: Entry, record: str, header: Path) -> dict[str, Any]:
    """Return the evidence for an evaluation.

    Args:
        entry: A run under one protocol.
        record: Name of its record file.
        header: The JSON header beside that.
    """
    tried = _tried(header)
    return {
        "verdict": {
            budget: {"word": each.word, "reason": each.reason}
            for budget, each in verdicts(entry.evaluation).items()
        },
        "signs": {
            budget: _signs(part, _counts(tried, budget), record)
            for budget, part in signs.threat_models(entry.evaluation)
        },
        "unit_test": {
            budget: _unit_test(tried, budget, record)
            for budget, _ in signs.threat_models(entry.evaluation)
        },
        "ties": tied(entry, record),
    }


def _signs(part: Evaluation, counts: Mapping[str, Any], record: str) -> list[dict[str, Any]]:
    """Return all nine signs; ``raised`` is null where a sign was not looked for."""
    is_attacked = "adaptive" in part.views
    found = []
    for name in NINE:
        raised: bool | None = None
        figures = NOT_MEASURED
        if name in _RECORDED and is_attacked:
            figures = _RECORDED[name](part)
            raised, figures = bool(figures), figures or "not in the records"
        elif _TRIED.get(name) in counts:
            hits, n = counts[_TRIED[name]]
            figures = f"{hits}/{n} of a small sample"
        found.append({"sign": name, "raised": raised, "figures": figures, "record": record})
    return found


def _unit_test(tried: Mapping[str, Any], budget: str, record: str) -> dict[str, Any]:
    """Return the score of the strongest attack by view, or why there is none."""
    own = tried.get(budget, {})
    scores = own.get("unit_test") or {}
    if not scores:
        return {"reason": str(own.get("reason") or NOT_MEASURED)}
    return {
        view: {"attack": str(each["attack"]), **number(Rate(*map(int, each["found"])), record)}
        for view, each in scores.items()
    }


def _counts(tried: Mapping[str, Any], budget: str) -> Mapping[str, Any]:
    rates: Mapping[str, Any] = tried.get(budget, {}).get("rates") or {}
    return rates


def _tried(header: Path) -> Mapping[str, Any]:
    """Return what was tried beside the records, by threat model; nothing where nobody asked."""
    try:
        content = json.loads(files.read(header, _LARGEST))
        trials: Mapping[str, Any] = content["evidence"]["trials"]
    except (OSError, *DAMAGE):
        return {}
    return trials if isinstance(trials, dict) else {}
