"""The second command: `python evaluate.py RUN... --suite FILE` attacks runs and compares them.

Three stages come one after the other: everything is attacked and measured, then the tables are
printed, then figures are made. So a figure that cannot be made costs no table.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only

from robust.commands.evaluate_attacks import Attacked, Attacks, check_suites, processes, suite_for
from robust.commands.evaluated_network import named, network_run, other_data
from robust.commands.evidence.compared import (
    Compared,
    check_comparable,
    compared,
    comparison_tables,
)
from robust.commands.evidence.gate import gate, write_named
from robust.commands.evidence.required import measured_of
from robust.commands.options.evaluate import DEFAULT_SUITE, parse_options
from robust.commands.process import run_command
from robust.commands.published.beside import Beside
from robust.commands.published.kept import Kept, attacked_results, measured_results
from robust.commands.run_figures import check_figures, plot_figures
from robust.commands.suite_figures import norms_of, plot_compared, plot_norms, plot_run
from robust.errors import ConfigError
from robust.evaluation.checks import check_suite
from robust.evaluation.kept.images import keeping
from robust.figures.adversarials import members
from robust.io.notes import Figures, Steps, note, reason
from robust.loading.paper_tables import PaperTable
from robust.loading.parsing.parser import typed
from robust.loading.trained_run import TrainedRun, by_name, check_used
from robust.loading.trust import taken, trusting
from robust.measures.lipschitz import OperatorNorm, norm_table
from robust.measures.measurements import Certification, Measurement, RobustnessMetrics
from robust.measures.unit_test.measurement import AttackUnitTest
from robust.results.cells import Grid
from robust.results.records import Evaluation
from robust.results.tables import comparison

Runs = Mapping[str, TrainedRun]


def evaluate(args: Sequence[str] | None = None) -> int:
    """`evaluate.py`: returns its exit code."""
    arguments = sys.argv[1:] if args is None else list(args)
    if "--report" in arguments:
        from robust.commands.report import report

        return report(arguments)
    codes: list[int] = []
    return run_command(lambda: codes.append(_evaluate_trusting(arguments))) or codes[0]


def _evaluate_trusting(arguments: Sequence[str]) -> int:
    trusted, others = taken(arguments)
    own = [word for word in others if word.startswith("--model.")]
    options = parse_options(others)
    options.processes = processes(options.devices)
    with trusting([*trusted, *typed([*own, *named(options)])]), keeping(options.keep):
        return _evaluate(options)


def _evaluate(options: argparse.Namespace) -> int:
    if options.is_network:
        check_suites(options)  # before the minutes in which the network is tried
    pairs = compared(options, _runs(options))
    check_used(options.model, pairs.runs)
    trained_runs = by_name(pairs.runs)
    source = TrainedRun.load(options.transfer_from) if options.transfer_from else None
    beside = _table(options, trained_runs, source)
    table = None if beside is None else beside.table
    measurements = _measurements(options, table)
    suite: Path | None = options.suite
    if suite is None and table is not None and not table.measured:
        suite = table.suite()
    _check(options, suite, trained_runs, source, pairs)  # before hours of attacks
    if options.by_default:
        note(f"attacked with the suite {DEFAULT_SUITE}, the default; --suite names another.")
    steps = Steps()
    attacks = Attacks(options, steps)
    attacked = Attacked() if suite is None else attacks.run(suite, trained_runs, table, source)
    weights = [f"{name}: {note}" for name, run in trained_runs.items() for note in run.notes]
    finished = _Finished(beside, attacked, [] if attacked.results else weights, pairs)
    code = _finish(options, trained_runs, measurements, attacks, finished)
    _raise_failed(steps, some=bool(attacked.results or finished.measured or finished.norms))
    return code or 0


def _runs(options: argparse.Namespace) -> list[TrainedRun]:
    if options.is_network:
        return [network_run(options)]
    data = other_data(options)
    return [TrainedRun.load(path, options.model, data) for path in options.runs]


@dataclass
class _Finished:
    """What the first stage leaves: the table of a paper, if one was given, and what was found."""

    beside: Beside | None
    attacked: Attacked
    notes: Sequence[str] = ()
    """What to say of the weights, where no table of attacks says it."""
    pairs: Compared = field(default_factory=lambda: Compared(()))
    """Which runs are compared with which."""
    measured: list[tuple[Measurement[Any], dict[str, Any]]] = field(default_factory=list)
    norms: dict[str, list[OperatorNorm]] = field(default_factory=dict)


def _table(
    options: argparse.Namespace, trained_runs: Runs, source: TrainedRun | None
) -> Beside | None:
    if options.results is not None:
        Kept(*options.results).check()
    if not options.table:
        return None
    return Beside.load(options.table, trained_runs, source, loose=options.loose)


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
    if options.attack_unit_test is not None:
        evaluation, notes = suite_for(options, options.attack_unit_test)
        for text in notes:
            note(text)
        measurements.append(AttackUnitTest(evaluation.suite, features=options.features, **limit))
    return measurements


def _check(
    options: argparse.Namespace,
    suite: Path | None,
    trained_runs: Runs,
    source: TrainedRun | None,
    pairs: Compared,
) -> None:
    """Raise for what a user can get wrong, as far as it can be told before the first stage."""
    check_figures(options.draw, trained_runs)
    if options.output is not None and not options.output.absolute().parent.is_dir():
        raise _unwritable(options.output, "its folder does not exist")
    if suite is None:
        return
    evaluation, notes = suite_for(options, suite)
    evaluated = evaluation.suite
    check_comparable(pairs, evaluated)
    for trained_run in trained_runs.values():
        evaluated.on(trained_run.data.name)
        check_suite(evaluated, trained_run.data)
        if source is not None:
            data = trained_run.data
            source.defense.check_fit(data.shape, data.num_classes, data.name)
    if options.grid:
        members(evaluated, options.grid)
        _check_one_data_set(trained_runs)
    for text in notes:
        note(text)


@rank_zero_only
def _finish(
    options: argparse.Namespace,
    trained_runs: Runs,
    measurements: Sequence[Measurement[Any]],
    attacks: Attacks,
    finished: _Finished,
) -> int:
    for measurement in measurements:
        finished.measured.append((measurement, attacks.measure(measurement, trained_runs)))
    if options.lipschitz:
        finished.norms = attacks.each(trained_runs, norms_of)
    printed = _print_tables(finished, attacks.steps, trained_runs)
    with attacks.steps.step("--output"):
        _write(printed, options.output)
    with attacks.steps.step("--results"):
        _keep(options, finished, trained_runs)
    code = 0
    with attacks.steps.step("--require"):
        required = finished.pairs.required(trained_runs)
        found = measured_of(required, finished.attacked.results, finished.measured)
        code = gate(options, found)
    figures = Figures()
    _plot(options, trained_runs, finished, figures)
    if figures.failed and not (printed or attacks.steps.failed):
        raise next(iter(figures.failed.values()))  # nothing else was asked for
    return code


def _print_tables(finished: _Finished, steps: Steps, runs: Runs) -> list[Grid]:
    """All tables of what is complete, printed; one that cannot be made does not cost the others."""
    grids: list[Grid] = []
    for what, make in _tables(finished):
        with steps.step(what):
            grid = make()
            if finished.notes and not grids:
                grid = replace(grid, notes=[*grid.notes, *finished.notes])
            grid.print()
            grids.append(grid)
    with steps.step("The comparison with another run"):
        for grid in comparison_tables(finished.pairs, runs, finished.attacked.results):
            grid.print()
            grids.append(grid)
    return grids


def _tables(finished: _Finished) -> list[tuple[str, Callable[[], Grid]]]:
    beside, attacked = finished.beside, finished.attacked
    made: list[tuple[str, Callable[[], Grid]]] = []
    if attacked.results:
        made.append(("The comparison", lambda: _compared(attacked.results, attacked.at)))
    if beside is not None and not beside.table.measured and attacked.results:
        if attacked.adaptive:
            columns = beside.table.columns
            own = {columns[c]: evaluation for c, evaluation in attacked.adaptive.items()}
            made.append(("The comparison under the adaptive suite", lambda: _compared(own, "")))
        made.append((beside.title, lambda: beside.grid(attacked)))
    if finished.norms:
        made.append(("Operator norms", lambda: norm_table(finished.norms)))
    for measurement, results in finished.measured:
        if results:
            made.append((measurement.name, partial(measurement.table, results)))
            if _is_of_table(finished, measurement) and beside is not None:
                made.append((beside.title, partial(beside.measured, results)))
    return made


def _is_of_table(finished: _Finished, measurement: Measurement[Any]) -> bool:
    measured = finished.beside is not None and finished.beside.table.measured
    return measured and isinstance(measurement, RobustnessMetrics)


def _keep(options: argparse.Namespace, finished: _Finished, runs: Runs) -> None:
    """Put the numbers of the table into the file that is to keep them."""
    beside = finished.beside
    if options.results is None or beside is None:
        return
    kept = Kept(*options.results)
    found = []
    if finished.attacked.results and not beside.table.measured:
        found += attacked_results(beside, finished.attacked, runs, kept.command)
    for measurement, results in finished.measured:
        if _is_of_table(finished, measurement):
            found += measured_results(beside, results, runs, kept.command)
    kept.add(found)


def _compared(results: Mapping[str, Evaluation], at: str) -> Grid:
    """The comparison, which says of each run on which data it is where that is not one."""
    headers = {name: evaluation.header for name, evaluation in results.items()}
    if len({header.data_sha256 for header in headers.values()}) < 2:
        return comparison(results, at)
    names = {name: header.data for name, header in headers.items()}
    if len(set(names.values())) < len({header.data_sha256 for header in headers.values()}):
        names = {name: f"{h.data} {h.data_sha256[:8]}" for name, h in headers.items()}
    labelled = {f"{name} on {names[name]}": evaluation for name, evaluation in results.items()}
    suite = next(iter(headers.values())).suite
    return replace(
        comparison(labelled),
        title=f"Attack success in %, suite {suite}{at}, {len(set(names.values()))} data sets",
    )


def _plot(
    options: argparse.Namespace, trained_runs: Runs, finished: _Finished, figures: Figures
) -> None:
    """The third stage: all figures, each of which may fail."""
    attacked = finished.attacked
    if options.figures:
        for name, result in attacked.results.items():
            with figures.step(f"Figures of {name}"):
                plot_run(trained_runs[name], attacked.suites[name], result, figures)
    if attacked.results and (options.figures or options.grid):
        complete = {name: trained_runs[name] for name in attacked.results}
        suite = attacked.suites[next(iter(complete))]
        plot_compared(options, suite, complete, attacked.results, figures)
    if finished.norms:
        plot_norms(trained_runs, finished.norms, figures)
    plot_figures(options.draw, trained_runs, figures)


def _check_one_data_set(trained_runs: Runs) -> None:
    names = {name: trained_run.data.name for name, trained_run in trained_runs.items()}
    if len(set(names.values())) > 1:
        raise ConfigError(
            "Expected runs on one data set for --grid, but got "
            f"{', '.join(f'{name} on {data}' for name, data in names.items())}. Leave some out."
        )


def _write(grids: Sequence[Grid], output: Path | None) -> None:
    if output is not None and grids:
        write_named(output, "\n".join(grid.markdown() for grid in grids))


def _unwritable(output: Path, why: str) -> ConfigError:
    return ConfigError(f"Expected to write {output}, but cannot ({why}). Choose another file.")


def _raise_failed(steps: Steps, *, some: bool) -> None:
    """End with the first error of the first two stages, in one line that says what it cost."""
    if not steps.failed:
        return
    (what, error), *others = steps.failed.items()
    for other, later in others:
        note(f"{other} failed, too: {reason(later)}")
    if some and isinstance(error, ConfigError) and what != "--output":
        raise ConfigError(f"{what} failed, so that the tables lack it: {error}") from error
    if some:
        error.add_note(f"{what} failed, so that the tables lack it.")
    raise error
