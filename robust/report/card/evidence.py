"""What speaks for and against a robust accuracy: verdict, nine signs, attack unit test, ties."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robust.io import files
from robust.io.radius import at_budget
from robust.report.card.numbers import number, tied
from robust.report.protocols import Entry
from robust.results import signs
from robust.results.evidence.nine import TOO_FEW, Sign, nine
from robust.results.evidence.recorded import Trials
from robust.results.metrics import Rate
from robust.results.records import Evaluation
from robust.results.stored.headers import DAMAGE
from robust.results.verdict import verdicts

NOT_MEASURED = "not measured"
_LARGEST = 64_000_000


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
            budget: _signs(part, _trials(entry.evaluation, budget), record)
            for budget, part in signs.threat_models(entry.evaluation)
        },
        "unit_test": {
            budget: _unit_test(tried, budget, record)
            for budget, _ in signs.threat_models(entry.evaluation)
        },
        "ties": tied(entry, record),
    }


def _trials(evaluation: Evaluation, budget: str) -> Trials:
    """Return what was tried under a threat model; nothing where nobody asked."""
    known = evaluation.evidence
    found = None if known is None else at_budget(known.trials, budget)
    return found or Trials()


def _signs(part: Evaluation, trials: Trials, record: str) -> list[dict[str, Any]]:
    """Return all nine signs; ``raised`` is null where a sign was not looked for, or cannot tell."""
    is_attacked = "adaptive" in part.views
    return [
        {
            "sign": sign.name,
            "raised": sign.raised if sign.tried and is_attacked and not sign.untold else None,
            "figures": _figures(sign) if sign.tried and is_attacked else NOT_MEASURED,
            "record": record,
        }
        for sign in nine(part, trials)
    ]


def _figures(sign: Sign) -> str:
    doubt = TOO_FEW if sign.untold else "so few images can hardly raise it" if sign.rare else ""
    return f"{sign.figures}; {doubt}" if doubt else sign.figures


def _unit_test(tried: Mapping[str, Any], budget: str, record: str) -> dict[str, Any]:
    """Return the score of the strongest attack by view, or why there is none."""
    own = at_budget(tried, budget) or {}
    scores = own.get("unit_test") or {}
    if not scores:
        return {"reason": str(own.get("reason") or NOT_MEASURED)}
    return {
        view: {"attack": str(each["attack"]), **number(Rate(*map(int, each["found"])), record)}
        for view, each in scores.items()
    }


def _tried(header: Path) -> Mapping[str, Any]:
    """Return what was tried beside the records, by threat model; nothing where nobody asked."""
    try:
        content = json.loads(files.read(header, _LARGEST))
        trials: Mapping[str, Any] = content["evidence"]["trials"]
    except (OSError, *DAMAGE):
        return {}
    return trials if isinstance(trials, dict) else {}
