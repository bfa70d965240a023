"""Limits in sentences, Carlini et al.'s checklist filled in, and where clauses are answered."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from robust.report.card.evidence import NOT_MEASURED
from robust.report.protocols import Entry
from robust.results.signs import percent

_Content = Mapping[str, Any]
_DO_NOT_STAND = "The records behind these numbers do not stand"
_LEFT_OUT = "Other records of this run are damaged and left out"
_NARROW = 0.1
"""Width of an interval above which a limit says so."""


def limits(entry: Entry, content: _Content) -> list[str]:
    """Return what the numbers do not say.

    Args:
        entry: A run under one protocol.
        content: What the card says of it.
    """
    header = entry.evaluation.header
    low, high = entry.worst.interval
    found = [
        f"The numbers are of {entry.n} {header.split} images of {header.data}, and of no others.",
        "An attack that is not among these may find more. A robust accuracy is an upper bound of "
        "what the strongest attack leaves, unless it is certified.",
    ]
    if high - low > _NARROW:
        found.append(
            f"The interval of the robust accuracy is {100 * (high - low):.0f} points wide."
        )
    if "adaptive" not in entry.robust:
        found.append("Nobody attacked through an adaptive view, so that masking cannot be told.")
    if header.random:
        found.append("The defense is random: another call may give other predictions.")
    for budget, each in content["evidence"]["verdict"].items():
        reason = f" ({each['reason']})" if each["reason"] else ""
        found.append(f"The verdict at {budget} is: {each['word']}{reason}.")
    lacking = [budget for budget, each in content["evidence"]["unit_test"].items() if _none(each)]
    if lacking:
        found.append(
            f"Whether the attacks would have found what is there was not measured at "
            f"{', '.join(lacking)}."
        )
    return [*found, *entry.evaluation.notes]


def doubts(entry: Entry, record: Path, damaged: Mapping[Path, Sequence[str]]) -> Iterator[str]:
    """Yield what is damaged of the records behind the numbers, and what the card leaves out for it.

    Args:
        entry: A run under one protocol.
        record: Its record file.
        damaged: What is damaged of each record file of the run.
    """
    for fault in damaged.get(record, ()):
        if fault not in entry.evaluation.notes:  # which are limits already
            yield f"{_DO_NOT_STAND}: {fault}"
    for path in damaged:
        if path not in entry.run.evaluations:
            yield f"{_LEFT_OUT}: {path.name}."


def any_doubts(runs: Sequence[_Content]) -> bool:
    """Return whether a card says of one of its runs that records are damaged."""
    limits = [limit for run in runs for each in run["evaluations"] for limit in each["limits"]]
    return any(limit.startswith((_DO_NOT_STAND, _LEFT_OUT)) for limit in limits)


def checklist(entry: Entry, content: _Content) -> list[dict[str, str]]:
    """Return the checklist of Carlini et al. 2019 (https://arxiv.org/abs/1902.06705), filled in.

    An answer is ``yes``, ``no``, ``in part`` or ``not recorded``; what records do not say is left
    to who hands the card in.
    """
    return [
        {"item": item, **dict(zip(("answer", "evidence"), answer(entry, content), strict=True))}
        for item, answer in _ITEMS.items()
    ]


def _attacks(entry: Entry, content: _Content) -> tuple[str, str]:
    names = sorted({attack["class"] for attack in content["attacks"]})
    return ("yes" if len(names) > 1 else "in part"), ", ".join(names)


def _with(access: str) -> Callable[[Entry, _Content], tuple[str, str]]:
    def answer(entry: Entry, content: _Content) -> tuple[str, str]:
        used = {each for model in content["threat_models"] for each in model["queries"]}
        return ("yes", "/attacks") if access in used else ("no", f"no attack by {access}")

    return answer


def _gradient_free(entry: Entry, content: _Content) -> tuple[str, str]:
    answers = [_with(access)(entry, content) for access in ("scores", "decisions")]
    return next((found for found in answers if found[0] == "yes"), ("no", "no attack by queries"))


def _view(view: str) -> Callable[[Entry, _Content], tuple[str, str]]:
    def answer(entry: Entry, content: _Content) -> tuple[str, str]:
        rate = entry.robust.get(view)
        if rate is None:
            return "no", f"the view {view} was not attacked"
        return "yes", f"/results/{view}.robust: {percent(rate)}"

    return answer


def _sign(*names: str) -> Callable[[Entry, _Content], tuple[str, str]]:
    """Answer whether signs were looked for, with their figures.

    What too few images were left to tell is an answer in part.
    """

    def answer(entry: Entry, content: _Content) -> tuple[str, str]:
        known = [
            (budget, sign)
            for budget, found in content["evidence"]["signs"].items()
            for sign in found
            if sign["sign"] in names
        ]
        where = "/evidence/signs: "
        if all(sign["figures"] == NOT_MEASURED for _, sign in known):
            return "not recorded", where + ", ".join(names)
        told = [f"{sign['sign']} at {budget} ({sign['figures']})" for budget, sign in known]
        is_told = all(sign["raised"] is not None for _, sign in known)
        return ("yes" if is_told else "in part"), where + ", ".join(told)

    return answer


def _curve(entry: Entry, content: _Content) -> tuple[str, str]:
    return ("yes", "/curve") if content["curve"] else ("no", "the suite has one eps")


def _random(entry: Entry, content: _Content) -> tuple[str, str]:
    if not entry.evaluation.header.random:
        return "yes", "two calls agree, so that nothing is to be averaged"
    averaged = entry.evaluation.header.averaged
    return ("yes", "the adaptive view averages (EOT)") if averaged else ("no", "no EOT")


def _unit(entry: Entry, content: _Content) -> tuple[str, str]:
    measured = [each for each in content["evidence"]["unit_test"].values() if not _none(each)]
    return ("yes", "/evidence/unit_test") if measured else ("not recorded", "not measured")


def _none(scores: Mapping[str, Any]) -> bool:
    return "reason" in scores


def _bounded(entry: Entry, content: _Content) -> tuple[str, str]:
    attacks = entry.evaluation.header.attacks.values()
    bounded = all(math.isfinite(info.eps) for info in attacks)
    return ("yes" if bounded else "in part"), "/threat_models"


_ITEMS: dict[str, Callable[[Entry, _Content], tuple[str, str]]] = {
    "State a precise threat model": _bounded,
    "Perform adaptive attacks": _view("adaptive"),
    "Release pre-trained models and source code": lambda *_: ("not recorded", ""),
    "Report clean model accuracy when not under attack": lambda e, _: (
        "yes",
        f"/results/clean: {percent(e.clean)}",
    ),
    "Perform basic sanity tests on attack success rates": _sign(
        "one step beats many", "success does not grow with eps", "an unbounded attack fails"
    ),
    "Generate an attack success rate against perturbation budget curve": _curve,
    "Verify that adaptive attacks perform better than any other": _sign("views differ"),
    "Describe the attacks applied, with all hyperparameters": lambda *_: ("yes", "/attacks"),
    "Apply a diverse set of attacks": _attacks,
    "Apply gradient-free attacks": _gradient_free,
    "Apply a transferability attack from a similar substitute": _view("transfer"),
    "For randomized defenses, average over the randomness": _random,
    "Verify that attacks have converged": _sign("twice the steps find much more"),
    "Verify that attacks find adversarial images that are there": _unit,
    "Compute the worst case of each image over all attacks": lambda *_: ("yes", "/results/robust"),
    "Compare against prior work": lambda *_: ("not recorded", ""),
}

CLAUSES: tuple[Mapping[str, str], ...] = (
    {"source": "NIST AI 100-2 E2025", "clause": "attacker goals", "where": "/threat_models/goal"},
    {
        "source": "NIST AI 100-2 E2025",
        "clause": "attacker capabilities",
        "where": "/threat_models/capability",
    },
    {
        "source": "NIST AI 100-2 E2025",
        "clause": "attacker knowledge",
        "where": "/threat_models/knowledge",
    },
    {"source": "ISO/IEC 24029-2", "clause": "robustness goal", "where": "/threat_models"},
    {"source": "ISO/IEC DIS 24029-3", "clause": "protocol", "where": "/attacks"},
    {"source": "ISO/IEC DIS 24029-3", "clause": "statistics", "where": "/results"},
    {"source": "ISO/IEC DIS 24029-3", "clause": "decision", "where": "/evidence/verdict"},
    {"source": "OWASP AI Exchange", "clause": "evasion attacks", "where": "/results"},
    {"source": "NeurIPS checklist", "clause": "experimental setting", "where": "/attacks"},
    {"source": "NeurIPS checklist", "clause": "statistical significance", "where": "/results"},
    {"source": "NeurIPS checklist", "clause": "compute resources", "where": "/compute"},
    {"source": "NeurIPS checklist", "clause": "licences of assets", "where": "/subject/licence"},
    {"source": "Carlini et al. 2019", "clause": "checklist", "where": "/checklist"},
)
"""Where a reader of these documents finds what a clause asks for; it claims nothing more."""
