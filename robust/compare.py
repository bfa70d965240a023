"""The second command: `python evaluate.py RUN... --suite FILE` attacks runs and compares them."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import Logger

from robust.defenses import Defense
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
from robust.evaluation.records import Evaluation
from robust.evaluation.tables import Grid, comparison, published
from robust.explain import imported
from robust.parsing import mendable_trainer, read_suite, read_yaml, run_command
from robust.subjects import Subject
from robust.threat import ThreatModel
from robust.tracking import log_figures
from robust.types import View

_FIGURE_SAMPLES = 100
"""Test samples among which the figures find some that are classified correctly."""


def evaluate(args: Sequence[str] | None = None) -> int:
    """`evaluate.py`: returns its exit code."""
    return run_command(lambda: _evaluate(_parse(args)))


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Attack trained runs and print how they compare. Records are kept beside each "
        "checkpoint; what is on record is not attacked again.",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders or checkpoints")
    parser.add_argument("--suite", type=Path, help="a file of configs/suites")
    parser.add_argument("--table", type=Path, help="a file of configs/tables, with its own suite")
    parser.add_argument(
        "--view",
        nargs="+",
        choices=get_args(View),
        metavar="VIEW",
        help=("views to attack through, of deployed, published and adaptive; default: the suite's"),
    )
    parser.add_argument("--limit", type=int, help="number of test images; default: the suite's")
    parser.add_argument("--devices", type=int, default=1, help="processes or GPUs; default: 1")
    parser.add_argument(
        "--transfer-from", type=Path, metavar="RUN", help="craft on this run's net instead"
    )
    parser.add_argument(
        "--figures", action="store_true", help="draw loss surfaces, scores and accuracy against eps"
    )
    parser.add_argument(
        "--grid",
        metavar="ATTACK",
        help="draw what an attack of the suite makes of a few images, in all runs; of some that "
        "differ in eps, such as pgd_0.1 and pgd_0.2, pgd takes the smallest that is enough",
    )
    parser.add_argument(
        "--lipschitz",
        action="store_true",
        help="print operator norms of the layers; needs no suite",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write Markdown here")
    options = parser.parse_args(args)
    if options.suite is None and options.table is None:
        needing = [flag for flag in ("figures", "grid") if getattr(options, flag)]
        if needing or not options.lipschitz:
            parser.error("expected --suite or --table, but got neither; see configs/suites")
    return options


def _evaluate(options: argparse.Namespace) -> None:
    subjects = {s.name: s for s in map(Subject.of, options.runs)}
    grids: list[Grid] = []
    if options.suite or options.table:
        grids += _attack(options, subjects)
    _finish(options, subjects, grids)


@rank_zero_only
def _finish(
    options: argparse.Namespace, subjects: Mapping[str, Subject], grids: list[Grid]
) -> None:
    if options.lipschitz:
        grids.append(_measure(subjects))
    _report(grids, options.output)


def _attack(options: argparse.Namespace, subjects: Mapping[str, Subject]) -> list[Grid]:
    table = read_table(options.table) if options.table else None
    suite = options.suite or options.table.parent / str(table and table["suite"])
    settings = {"limit": options.limit, "views": options.view}
    settings = {key: value for key, value in settings.items() if value is not None}
    source = Subject.of(options.transfer_from).defense if options.transfer_from else None
    results: dict[str, Evaluation] = {}
    for name, subject in subjects.items():
        evaluation = read_suite(suite, records=str(subject.folder / "records"), **settings)
        if options.grid:  # checked before hours of attacks
            members(evaluation, options.grid)
            _check_one_data_set(subjects)
        if source is not None:
            source.check_fit(subject.data.shape, subject.data.num_classes, subject.data.name)
            evaluation.source = source
        trainer = _test(subject, evaluation, options.devices)
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


def _test(subject: Subject, evaluation: AttackEvaluation, devices: int) -> Trainer:
    with mendable_trainer():
        trainer = Trainer(
            accelerator="auto",
            devices=devices,
            logger=subject.loggers(evaluation.suite),
            callbacks=[evaluation, RichProgressBar()],
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


def _measure(subjects: Mapping[str, Subject]) -> Grid:
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


def read_table(path: Path) -> dict[str, Any]:
    """The content of a file of ``configs/tables``.

    Raises:
        ConfigError: If the file cannot be read, or lacks what a table needs.
    """
    table = read_yaml(path)
    missing = {"title", "metric", "suite", "columns", "clean_acc", "rows"} - set(table)
    if missing:
        raise ConfigError(
            f"Expected a table in {path}, but it lacks {', '.join(sorted(missing))}. See "
            "configs/tables."
        )
    return table


def match_columns(table: Mapping[str, Any], defenses: Mapping[str, Defense]) -> dict[str, str]:
    """The run of each column of a table: the one whose defense is what the column describes.

    Args:
        table: Its ``columns`` have a ``class_path``, and ``init_args`` that tell them apart.
        defenses: By the names of their runs.

    Raises:
        ConfigError: If two runs are the same column, or a column names no defense.
    """
    columns: dict[str, str] = {}
    for column, wanted in table["columns"].items():
        kind = _defense_class(wanted["class_path"])
        arguments = wanted.get("init_args", {})
        runs = [
            name
            for name, defense in defenses.items()
            if isinstance(defense, kind)
            and all(getattr(defense, key, None) == value for key, value in arguments.items())
        ]
        if len(runs) > 1:
            raise ConfigError(
                f"Expected one run for column {column!r} of {table['title']}, but got "
                f"{' and '.join(runs)}. Name one of each defense."
            )
        if runs:
            columns[column] = runs[0]
    return columns


def _defense_class(path: str) -> type[Defense]:
    try:
        kind = imported(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"Expected the class of a defense in the table, but got {path!r} ({error}). See "
            "robust.defenses."
        ) from None
    return cast(type[Defense], kind)


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
