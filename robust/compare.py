"""The second command: `python evaluate.py RUN... --suite FILE` attacks runs and compares them."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from robust.evaluation.measured_tables import published_measures
from robust.evaluation.measurements import Certification, Measurement, RobustnessMetrics
from robust.evaluation.records import Evaluation
from robust.evaluation.tables import Grid, comparison, published
from robust.options import parse_options
from robust.papers import PaperTable
from robust.parsing import mendable_trainer, read_suite, run_command
from robust.subjects import Subject, check_used
from robust.threat import ThreatModel
from robust.tracking import Preemption, Processes, log_figures

_FIGURE_SAMPLES = 100
"""Test samples among which the figures find some that are classified correctly."""


def evaluate(args: Sequence[str] | None = None) -> int:
    """`evaluate.py`: returns its exit code."""
    arguments = sys.argv[1:] if args is None else list(args)
    if "--report" in arguments:
        from robust.report import report  # a second's import that no attack has to wait for

        return run_command(lambda: report(arguments))
    return run_command(lambda: _evaluate(parse_options(arguments)))


def _evaluate(options: argparse.Namespace) -> None:
    found = [Subject.of(path, options.model) for path in options.runs]
    check_used(options.model, found)
    subjects = {subject.name: subject for subject in found}
    table = None
    if options.table:
        checkpoints = {name: subject.path for name, subject in subjects.items()}
        table = PaperTable.of(options.table, checkpoints, options.model)
        table.check_source(given=options.transfer_from is not None)
    measurements = _measurements(options, table)  # checked before hours of attacks
    grids: list[Grid] = []
    if options.suite or (table is not None and not table.measured):
        grids += _attack(options, subjects, table)
    _finish(options, subjects, measurements, grids, table)


def _measurements(options: argparse.Namespace, table: PaperTable | None) -> list[Measurement[Any]]:
    limit = {} if options.limit is None else {"limit": options.limit}
    views = {} if options.view is None else {"views": options.view}
    measurements: list[Measurement[Any]] = []
    if table is not None and table.measured:
        seen = table.content.get("view", "deployed")
        measurements.append(RobustnessMetrics(**limit, **{"views": [seen, "adaptive"], **views}))
    elif options.robustness:
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
    table: PaperTable | None,
) -> None:
    if options.lipschitz:
        grids.append(_operator_norms(subjects))
    for measurement in measurements:
        results = {name: _measure(subject, measurement) for name, subject in subjects.items()}
        grids.append(measurement.table(results))
        if table is not None and table.measured and isinstance(measurement, RobustnessMetrics):
            grid = published_measures(table.content, table.of_columns(results))
            grids.append(_noted(grid, table.notes))
    _report(grids, options.output)


def _attack(
    options: argparse.Namespace, subjects: Mapping[str, Subject], table: PaperTable | None
) -> list[Grid]:
    suite: Path = options.suite if options.suite or table is None else table.suite()
    source = Subject.of(options.transfer_from) if options.transfer_from else None
    if options.grid:  # checked before hours of attacks
        members(read_suite(suite, options.attacks), options.grid)
        _check_one_data_set(subjects)
    results: dict[str, Evaluation] = {}
    for name, subject in subjects.items():
        evaluation, trainer = _run(options, suite, subject, source)
        results[name] = _result(evaluation)
        if options.figures and trainer.is_global_zero:
            _draw(subject, evaluation, trainer.loggers)
    if trainer.is_global_zero:
        _draw_compared(options, evaluation, subjects, results)
    grids = [comparison(results)]
    if table is not None and not table.measured:
        grids += _beside_published(options, suite, table, subjects, results)
        crafted = [] if source is None else [f"Crafted on {source.name}."]
        grids[-1] = _noted(grids[-1], [*crafted, *table.notes])
    return grids


def _beside_published(
    options: argparse.Namespace,
    suite: Path,
    table: PaperTable,
    subjects: Mapping[str, Subject],
    results: Mapping[str, Evaluation],
) -> list[Grid]:
    """The table of a paper, after what its adaptive suite finds, if it has one."""
    runs = {column: subjects[name] for column, name in table.columns.items()}
    rows = table.content["rows"].values()
    transferred = {
        source: {
            column: _result(_run(options, suite, subject, runs[source])[0])
            for column, subject in runs.items()
            if column != source
        }
        for source in dict.fromkeys(row.get("crafted_on") for row in rows)
        if source in runs
    }
    adaptive: dict[str, Evaluation] = {}
    if "adaptive_suite" in table.content and "adaptive" in (options.view or ["adaptive"]):
        suite = table.suite("adaptive_suite")
        adaptive = {
            c: _result(_run(options, suite, run, adaptive=True)[0]) for c, run in runs.items()
        }
    own = {table.columns[column]: evaluation for column, evaluation in adaptive.items()}
    grid = published(table.content, table.of_columns(results), transferred, adaptive)
    return [*([comparison(own)] if own else []), grid]


def _run(
    options: argparse.Namespace,
    suite: Path,
    subject: Subject,
    source: Subject | None = None,
    *,
    adaptive: bool = False,
) -> tuple[AttackEvaluation, Trainer]:
    """Attack a run; with a source by what is crafted on that; or all of it, but adaptively."""
    settings = {"limit": options.limit, "views": ["adaptive"] if adaptive else options.view}
    settings = {key: value for key, value in settings.items() if value is not None}
    only = None if adaptive else options.attacks
    evaluation = read_suite(suite, only, records=str(subject.folder / "records"), **settings)
    if source is not None:
        data = subject.data
        source.defense.check_fit(data.shape, data.num_classes, data.name)
        evaluation.source = source.defense
    return evaluation, _test(subject, evaluation, evaluation.suite, options.processes)


def _result(evaluation: AttackEvaluation) -> Evaluation:
    assert evaluation.result is not None
    return evaluation.result


def _measure(subject: Subject, measurement: Measurement[Any]) -> Any:  # noqa: ANN401
    """What is measured of a run, in a test of its own."""
    _test(subject, measurement, measurement.name, Processes(devices=1, nodes=1))
    return measurement.result


def _test(subject: Subject, callback: Callback, what: str, processes: Processes) -> Trainer:
    with mendable_trainer():
        trainer = Trainer(
            accelerator="auto",
            devices=processes.devices,
            num_nodes=processes.nodes,
            logger=subject.loggers(what),
            callbacks=[callback, RichProgressBar(), Preemption()],
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
    curves = subject.folder / "figures" / f"accuracy_{_protocol(evaluation)}.png"
    if draw_accuracy_curves({subject.name: _result(evaluation)}, curves):
        figures["figures/accuracy"] = curves
    _show(figures, loggers)


def _draw_compared(
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
            first.data.test_samples(0, min(_FIGURE_SAMPLES, first.data.test_size)),
            options.grid,
            folder / f"adversarials_{suite}_{options.grid}.png",
            count=options.images,
            changes=options.images <= 5,
        )
    if figures:
        _show(figures, first.loggers(f"{suite}-compared"))


def _protocol(evaluation: AttackEvaluation) -> str:
    """In the names of figures: the suite, and whether it was crafted on another net."""
    return evaluation.suite if evaluation.source is None else f"{evaluation.suite}_transfer"


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


def _noted(grid: Grid, notes: Sequence[str]) -> Grid:
    return replace(grid, notes=[*grid.notes, *notes])


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
