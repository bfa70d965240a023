"""Pictures that `evaluate.py` draws of runs: they lie in the runs' folders, and W&B gets them."""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning.pytorch.loggers import Logger

from robust.evaluation import AttackEvaluation
from robust.evaluation.adversarials import draw_grid
from robust.evaluation.curve_figure import draw_accuracy_curves
from robust.evaluation.figures import draw_figures
from robust.evaluation.lipschitz import (
    draw_operator_norms,
    log_lipschitz,
    norm_table,
    operator_norms,
)
from robust.evaluation.records import Evaluation
from robust.evaluation.tables import Grid
from robust.subjects import Subject
from robust.threat import ThreatModel
from robust.tracking import log_figures

SAMPLES = 100
"""Test samples among which the figures find some that are classified correctly."""


def draw_run(subject: Subject, evaluation: AttackEvaluation, loggers: Sequence[Logger]) -> None:
    """Loss surfaces, scores and accuracy against eps of one run under a suite."""
    infos = evaluation.infos.values()
    radii = [i.eps for i in infos if i.norm == "Linf" and math.isfinite(i.eps)]
    targets = [i.target for i in infos if isinstance(i.target, int)]
    batch = subject.data.test_samples(0, min(SAMPLES, subject.data.test_size))
    figures = draw_figures(
        subject.defense.cpu(),
        batch,
        subject.folder / "figures",
        target=targets[0] if targets else 0,
        eps=radii[0] if radii else ThreatModel().eps,
    )
    assert evaluation.result is not None
    curves = subject.folder / "figures" / f"accuracy_{_protocol(evaluation)}.png"
    if draw_accuracy_curves({subject.name: evaluation.result}, curves):
        figures["figures/accuracy"] = curves
    show(figures, loggers)


def draw_compared(
    options: argparse.Namespace,
    evaluation: AttackEvaluation,
    subjects: Mapping[str, Subject],
    results: Mapping[str, Evaluation],
) -> None:
    """Figures of several runs: they lie with the first, and in a W&B run of their own."""
    first, suite = next(iter(subjects.values())), _protocol(evaluation)
    folder = first.folder / "figures"
    figures: dict[str, Path] = {}
    curves = folder / f"accuracy_{suite}_compared.png"
    if options.figures and len(results) > 1 and draw_accuracy_curves(results, curves):
        figures["figures/accuracy_compared"] = curves
    if options.grid:
        figures[f"figures/{options.grid}"] = draw_grid(
            evaluation,
            {name: subject.defense for name, subject in subjects.items()},
            first.data.test_samples(0, min(SAMPLES, first.data.test_size)),
            options.grid,
            folder / f"adversarials_{suite}_{options.grid}.png",
            count=options.images,
            changes=options.images <= 5,
        )
    if figures:
        show(figures, first.loggers(f"{suite}-compared"))


def draw_norms(subjects: Mapping[str, Subject]) -> Grid:
    """Operator norms of every run, drawn and logged; the figure of all lies with the first."""
    runs = {}
    for name, subject in subjects.items():
        norms = operator_norms(subject.defense.cpu(), subject.data.shape)
        runs[name] = [n._replace(layer=n.layer.removeprefix("network.")) for n in norms]
        path = subject.folder / "figures" / "operator_norms.png"
        draw_operator_norms({name: runs[name]}, path)
        log_lipschitz(subject.loggers("lipschitz"), runs[name], path)
        print(f"Figure: {path}")
    if len(runs) > 1:
        folder = next(iter(subjects.values())).folder / "figures"
        print(f"Figure: {draw_operator_norms(runs, folder / 'operator_norms_compared.png')}")
    return norm_table(runs)


def _protocol(evaluation: AttackEvaluation) -> str:
    """In the names of figures: the suite, and whether it was crafted on another net."""
    return evaluation.suite if evaluation.source is None else f"{evaluation.suite}_transfer"


def show(figures: Mapping[str, Path], loggers: Sequence[Logger]) -> None:
    """Log figures, and print where they lie."""
    log_figures(loggers, figures)
    for path in figures.values():
        print(f"Figure: {path}")
