"""The second command: `python evaluate.py RUN... --suite FILE` attacks runs and compares them."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from robust import files
from robust.drawing import draw_compared, draw_norms, draw_run
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.adversarials import members
from robust.evaluation.measured_tables import published_measures
from robust.evaluation.measurements import Certification, Measurement, RobustnessMetrics
from robust.evaluation.records import Evaluation
from robust.evaluation.tables import Grid, comparison, published
from robust.options import parse_options
from robust.papers import PaperTable
from robust.parsing import mendable_trainer, read_suite, run_command
from robust.pictures import draw_pictures
from robust.restricted import typed
from robust.subjects import Subject, by_name, check_used, describe
from robust.tracking import Preemption, Processes
from robust.trust import entries, trusting


def evaluate(args: Sequence[str] | None = None) -> int:
    """`evaluate.py`: returns its exit code."""
    arguments = sys.argv[1:] if args is None else list(args)
    if "--report" in arguments:
        from robust.report import report

        return report(arguments)
    return run_command(lambda: _evaluate_trusting(arguments))


def _evaluate_trusting(arguments: Sequence[str]) -> None:
    options = parse_options(arguments)
    names = [name for word in options.trust for name in entries(word)]
    own = [word for word in arguments if word.startswith("--model.")]
    with trusting([*names, *typed(own)]):
        _evaluate(options)


def _evaluate(options: argparse.Namespace) -> None:
    found = [Subject.of(path, options.model) for path in options.runs]
    check_used(options.model, found)
    subjects = by_name(found)
    table = None
    if options.table:
        described = {name: describe(s.path, options.model) for name, s in subjects.items()}
        table = PaperTable.of(options.table, described)
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
        grids.append(draw_norms(subjects))
    draw_pictures(options.draw, subjects)
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
            draw_run(subject, evaluation, trainer.loggers)
    if trainer.is_global_zero:
        draw_compared(options, evaluation, subjects, results)
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
    crafted: dict[str, set[str]] = {}
    for row in table.content["rows"].values():
        if "crafted_on" in row:
            crafted.setdefault(row["crafted_on"], set()).update(row["published"])
    transferred = {
        source: {
            column: _result(_run(options, suite, subject, runs[source])[0])
            for column, subject in runs.items()
            if column in columns - {source}
        }
        for source, columns in crafted.items()
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
        # A table is of what a paper's attacker did, who took a net as it is.
        evaluation.source_view = "published" if options.table else "adaptive"
    return evaluation, _test(subject, evaluation, evaluation.suite, options.processes)


def _result(evaluation: AttackEvaluation) -> Evaluation:
    assert evaluation.result is not None
    return evaluation.result


def _measure(subject: Subject, measurement: Measurement[Any]) -> Any:  # noqa: ANN401
    """What is measured of a run, in a test of its own."""
    _test(subject, measurement, measurement.name, Processes.alone())
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


def _check_one_data_set(subjects: Mapping[str, Subject]) -> None:
    names = {name: subject.data.name for name, subject in subjects.items()}
    if len(set(names.values())) > 1:
        raise ConfigError(
            "Expected runs on one data set for --grid, but got "
            f"{', '.join(f'{name} on {data}' for name, data in names.items())}. Leave some out."
        )


def _noted(grid: Grid, notes: Sequence[str]) -> Grid:
    return replace(grid, notes=[*grid.notes, *notes])


def _report(grids: Sequence[Grid], output: Path | None) -> None:
    for grid in grids:
        grid.print()
    if output is not None:
        try:
            files.write_output(output, "\n".join(grid.markdown() for grid in grids))
        except OSError as error:
            raise ConfigError(
                f"Expected to write {output}, but cannot ({error.strerror}). Choose another file."
            ) from None
        print(f"Written to {output}", file=sys.stderr)
