"""Tables compare runs with each other."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from robust.results.cells import Content, Grid, Stack, stack
from robust.results.evidence.signs_table import signs_grids, signs_notes
from robust.results.evidence.tables import (
    unasked_notes,
    unit_test_cell,
    unit_test_name,
    unit_test_notes,
)
from robust.results.folding import SECOND_LINES, by_attack
from robust.results.metrics import (
    Rate,
    clean_accuracy,
    dropped,
    success_rate,
    ties,
    worst_robust_accuracy,
)
from robust.results.records import AttackInfo, Evaluation
from robust.results.verdict import STYLES, Verdict, verdict
from robust.results.verdict import notes as weak_attacks


def comparison(
    evaluations: Mapping[str, Evaluation],
    at: str = "",
    verdicts: Mapping[str, Verdict] | None = None,
) -> Grid:
    """Return a table of runs by attacks, whose cells have the success rate through every view.

    Args:
        evaluations: Records by the names of their runs, of one suite.
        at: What the title says of a suite whose threat model was changed, such as `` at L2 0.5``.
        verdicts: Those on the runs, where the caller has them.
    """
    first = next(iter(evaluations.values()))
    attacks = list(first.header.attacks)
    verdicts = verdicts or {name: verdict(found) for name, found in evaluations.items()}
    tested = any(evaluation.evidence is not None for evaluation in evaluations.values())
    column = [unit_test_name(evaluations)] * tested
    rows: list[list[Content]] = [
        [name, *_run_cells(evaluation, attacks), *([unit_test_cell(evaluation)] * tested), word]
        for name, evaluation in evaluations.items()
        for word in [verdicts[name].word]
    ]
    return Grid(
        f"Attack success in %, suite {first.header.suite}{at}, {first.header.data}",
        ["run", "view", "clean acc", *attacks, "robust acc", *column, "verdict"],
        rows,
        [
            *(f"{name}: {found}." for name, found in verdicts.items()),
            *(f"{n}: {note}." for n, e in evaluations.items() for note in weak_attacks(e)),
            *signs_notes(evaluations),
            *unit_test_notes(evaluations),
            *unasked_notes(evaluations),
            *run_notes(evaluations),
            *_tie_notes(evaluations),
            *_dropped_notes(evaluations),
            *protocol_notes(evaluations),
        ],
        below=signs_grids(evaluations),
        styles=STYLES,
        fold=partial(by_attack, last=1),
    )


def _run_cells(evaluation: Evaluation, attacks: Sequence[str]) -> list[Stack]:
    views = evaluation.views
    clean = clean_accuracy(evaluation.select(views[0], attacks[0]))
    columns = [[_rate(evaluation, view, name) for view in views] for name in attacks]
    worst = [worst_robust_accuracy(evaluation, view) for view in views]
    # A rate and its interval take two lines, so a view does too.
    names = Stack(tuple(f"{view}\n" for view in views))
    return [names, *(stack(*rates) for rates in ([clean], *columns, worst))]


def _rate(evaluation: Evaluation, view: str, attack: str) -> Rate:
    return success_rate(evaluation.select(view, attack), evaluation.header.attacks[attack])


def protocol_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """Return how many images there are, what is counted, and the threat models."""
    if not evaluations:
        return []
    first = next(iter(evaluations.values()))
    counts = sorted({len(np.unique(e.rows["index"])) for e in evaluations.values()})
    budgets = ", ".join(
        f"{name} {info.budget}{_goal(info)}" for name, info in first.header.attacks.items()
    )
    images = {"test": "test images", "train": "random training images"}[first.header.split]
    return [
        f"n = {' to '.join(map(str, counts))} {images}, seed {first.header.seed}. Success: "
        "share of the correctly classified images (targeted: of other classes) on which the attack "
        "succeeds.",
        "robust acc: correct under every attack, per image. "
        f"{SECOND_LINES}: 95 % Wilson intervals.",
        f"Threat models: {budgets}.",
    ]


def _goal(info: AttackInfo) -> str:
    if info.target is None:
        return ""
    return " to a random class" if info.target == "random" else f" to class {info.target}"


def run_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """Return what a reader of each run has to know."""
    return [f"{name}: {note}" for name, found in evaluations.items() for note in found.notes]


def _dropped_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """Return which attacks gave up images before their last steps, as these count as robust."""
    return [
        f"{run}: {name} dropped {rate.hits} of {rate.n} images ({view}) before its last steps, as "
        "nothing promised a success; they count as robust. `--suite standard` attacks them."
        for run, evaluation in evaluations.items()
        for view in evaluation.views
        for name in evaluation.header.attacks
        if (rate := dropped(evaluation.select(view, name))).hits
    ]


def _tie_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    notes = []
    for name, evaluation in evaluations.items():
        view, attack = evaluation.views[0], next(iter(evaluation.header.attacks))
        rate = ties(evaluation.select(view, attack))
        if rate.hits:
            notes.append(
                f"{name}: the two best scores of {rate.hits} of {rate.n} clean images are exactly "
                "equal in float32; the first of them counts as the prediction."
            )
    return notes
