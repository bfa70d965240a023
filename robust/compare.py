"""The second command: `python evaluate.py RUN... --suite FILE` attacks runs and compares them."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import Logger

from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.adversarials import draw_grid, members
from robust.evaluation.curves import draw_accuracy_curves
from robust.evaluation.figures import draw_figures
from robust.evaluation.lipschitz import (
    draw_operator_norms,
    log_lipschitz,
    norm_table,
    operator_norms,
)
from robust.evaluation.measurements import Certification, Measurement, RobustnessMetrics
from robust.evaluation.records import Evaluation
from robust.evaluation.tables import Grid, comparison, published
from robust.options import parse_options
from robust.papers import match_columns, read_table
from robust.parsing import mendable_trainer, read_suite, run_command
from robust.subjects import Subject, check_used
from robust.threat import ThreatModel
from robust.tracking import log_figures

_FIGURE_SAMPLES = 100
"""Test samples among which the figures find some that are classified correctly."""


def evaluate(args: Sequence[str] | None = None) -> int:
    """`evaluate.py`: returns its exit code."""
    return run_command(lambda: _evaluate(parse_options(args)))


def _evaluate(options: argparse.Namespace) -> None:
    found = [Subject.of(path, options.model) for path in options.runs]
    check_used(options.model, found)
    subjects = {subject.name: subject for subject in found}
    measurements = _measurements(options)  # checked before hours of attacks
    grids: list[Grid] = []
    if options.suite or options.table:
        grids += _attack(options, subjects)
    _finish(options, subjects, measurements, grids)


def _measurements(options: argparse.Namespace) -> list[Measurement[Any]]:
    limit = {} if options.limit is None else {"limit": options.limit}
    measurements: list[Measurement[Any]] = []
    if options.robustness:
        views = {} if options.view is None else {"views": options.view}
        measurements.append(RobustnessMetrics(**limit, **views))
    if options.certify is not None:
        measurements.append(Certification(options.certify, **limit))
    return measurements


@rank_zero_only
def _finish(
    options: argparse.Namespace,
    subjects: Mapping[str, Subject],
    measurements: Sequence[Measurement[Any]],
    grids: list[Grid],
) -> None:
    if options.lipschitz:
        grids.append(_operator_norms(subjects))
    grids += [_measure(subjects, measurement) for measurement in measurements]
    _report(grids, options.output)


def _attack(options: argparse.Namespace, subjects: Mapping[str, Subject]) -> list[Grid]:
    table = read_table(options.table) if options.table else None
    suite = options.suite or options.table.parent / str(table and table["suite"])
    settings = {"limit": options.limit, "views": options.view}
    settings = {key: value for key, value in settings.items() if value is not None}
    source = Subject.of(options.transfer_from).defense if options.transfer_from else None
    results: dict[str, Evaluation] = {}
    for name, subject in subjects.items():
        records = str(subject.folder / "records")
        evaluation = read_suite(suite, options.attacks, records=records, **settings)
        if options.grid:  # checked before hours of attacks
            members(evaluation, options.grid)
            _check_one_data_set(subjects)
        if source is not None:
            source.check_fit(subject.data.shape, subject.data.num_classes, subject.data.name)
            evaluation.source = source
        trainer = _test(subject, evaluation, evaluation.suite, options.devices)
        assert evaluation.result is not None
        results[name] = evaluation.result
        if options.figures and trainer.is_global_zero:
            _draw(subject, evaluation, trainer.loggers)
    if trainer.is_global_zero:
        _draw_compared(options, evaluation, subjects, results)
    grids = [comparison(results)]
    if table is not None:
        defenses = {name: subject.defense for name, subject in subjects.items()}
        columns = match_columns(table, defenses)
        grids.append(published(table, {column: results[name] for column, name in columns.items()}))
    return grids


def _measure(subjects: Mapping[str, Subject], measurement: Measurement[Any]) -> Grid:
    """Measure every run, in a test of its own."""
    results = {}
    for name, subject in subjects.items():
        _test(subject, measurement, measurement.name, devices=1)
        results[name] = measurement.result
    return measurement.table(results)


def _test(subject: Subject, callback: Callback, what: str, devices: int) -> Trainer:
    with mendable_trainer():
        trainer = Trainer(
            accelerator="auto",
            devices=devices,
            logger=subject.loggers(what),
            callbacks=[callback, RichProgressBar()],
            default_root_dir=subject.folder,
            enable_checkpointing=False,
            enable_model_summary=False,
            inference_mode=False,
            use_distributed_sampler=False,
        )
    trainer.test(subject.defense, datamodule=subject.data, verbose=False)
    return trainer


def _draw(subject: Subject, evaluation: AttackEvaluation, loggers: Sequence[Logger]) -> None:
    infos = evaluation.infos.values()
    radii = [i.eps for i in infos if i.norm == "Linf" and math.isfinite(i.eps)]
    targets = [i.target for i in infos if isinstance(i.target, int)]
    batch = subject.data.test_samples(0, min(_FIGURE_SAMPLES, subject.data.test_size))
    figures = draw_figures(
        subject.defense.cpu(),
        batch,
        subject.folder / "figures",
        target=targets[0] if targets else 0,
        eps=radii[0] if radii else ThreatModel().eps,
    )
    assert evaluation.result is not None
    curves = subject.folder / "figures" / f"accuracy_{evaluation.suite}.png"
    if draw_accuracy_curves({subject.name: evaluation.result}, curves):
        figures["figures/accuracy"] = curves
    _show(figures, loggers)


def _draw_compared(
    options: argparse.Namespace,
    evaluation: AttackEvaluation,
    subjects: Mapping[str, Subject],
    results: Mapping[str, Evaluation],
) -> None:
    """Figures of several runs: they lie with the first, and in a W&B run of their own."""
    first, suite = next(iter(subjects.values())), evaluation.suite
    folder = first.folder / "figures"
    figures: dict[str, Path] = {}
    curves = folder / f"accuracy_{suite}_compared.png"
    if options.figures and len(results) > 1 and draw_accuracy_curves(results, curves):
        figures["figures/accuracy_compared"] = curves
    if options.grid:
        figures[f"figures/{options.grid}"] = draw_grid(
            evaluation,
            {name: subject.defense for name, subject in subjects.items()},
            first.data.test_samples(0, min(_FIGURE_SAMPLES, first.data.test_size)),
            options.grid,
            folder / f"adversarials_{suite}_{options.grid}.png",
        )
    if figures:
        _show(figures, first.loggers(f"{suite}-compared"))


def _check_one_data_set(subjects: Mapping[str, Subject]) -> None:
    names = {name: subject.data.name for name, subject in subjects.items()}
    if len(set(names.values())) > 1:
        raise ConfigError(
            "Expected runs on one data set for --grid, but got "
            f"{', '.join(f'{name} on {data}' for name, data in names.items())}. Leave some out."
        )


def _operator_norms(subjects: Mapping[str, Subject]) -> Grid:
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


def _show(figures: Mapping[str, Path], loggers: Sequence[Logger]) -> None:
    log_figures(loggers, figures)
    for path in figures.values():
        print(f"Figure: {path}")


def _report(grids: Sequence[Grid], output: Path | None) -> None:
    for grid in grids:
        grid.print()
    if output is not None:
        try:
            output.write_text("\n".join(grid.markdown() for grid in grids))
        except OSError as error:
            raise ConfigError(
                f"Expected to write {output}, but cannot ({error.strerror}). Choose another file."
            ) from None
        print(f"Written to {output}", file=sys.stderr)
