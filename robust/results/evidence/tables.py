"""The attack unit test in tables of runs."""

from collections.abc import Mapping

from robust.results.cells import Cell, Stack
from robust.results.evidence.recorded import Score
from robust.results.records import Evaluation

NOT_MEASURED = "not measured"


def worst_score(evaluation: Evaluation, view: str) -> Score | None:
    """Return the lowest score through a view, of those that there are for each threat model."""
    trials = {} if evaluation.evidence is None else evaluation.evidence.trials
    scores = [each.scores[view] for each in trials.values() if view in each.scores]
    counted = [score for score in scores if score.found.n]
    return min(counted, key=lambda score: score.found.value, default=None)


def unit_test_cell(evaluation: Evaluation) -> Stack | str:
    """Return a cell with the score through each view."""
    if evaluation.evidence is None:
        return ""
    scores = [worst_score(evaluation, view) for view in evaluation.views]
    if not any(scores):
        return NOT_MEASURED
    return Stack(
        tuple(
            f"{NOT_MEASURED}\n" if score is None else Cell.from_rate(score.found)
            for score in scores
        )
    )


def unit_test_name(evaluations: Mapping[str, Evaluation]) -> str:
    """Return what the column is called, with the number of images on which attacks are counted."""
    counts = sorted({score.found.n for score in _scores(evaluations)})
    if not counts:
        return "unit test"
    span = "-".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return f"unit test\nn = {span}"


def unit_test_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """Return what the column means, of which attacks it is, and why a run has no score."""
    known = {name: e for name, e in evaluations.items() if e.evidence is not None}
    if not known:
        return []
    attacks = ", ".join(sorted({score.attack for score in _scores(known)}))
    named = f" ({attacks})" if attacks else ""
    reasons = [
        f"{name}: {trials.reason}"
        for name, evaluation in known.items()
        for trials in (evaluation.evidence.trials if evaluation.evidence else {}).values()
        if trials.reason
    ]
    return [
        *dict.fromkeys(reasons),
        "unit test: share of adversarial images within eps, known to be there, that the strongest "
        f"attack{named} finds. A sound attack finds more than 95 %.",
    ]


def _scores(evaluations: Mapping[str, Evaluation]) -> list[Score]:
    """Return all scores that cells of the column show."""
    found = [worst_score(each, view) for each in evaluations.values() for view in each.views]
    return [score for score in found if score is not None]


def unasked_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """Return for which runs nobody asked for evidence, which a transfer attack has none of."""
    names = [
        name
        for name, evaluation in evaluations.items()
        if evaluation.evidence is None and "transfer" not in evaluation.views and evaluation.views
    ]
    if not names:
        return []
    return [
        f"{', '.join(names)}: no evidence was asked for; evaluate with --evidence quick to test "
        "whether the attacks find what is there."
    ]
