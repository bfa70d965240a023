"""The second command: `python evaluate.py RUN... --suite FILE` attacks runs and compares them."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import Logger

from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.figures import draw_figures
from robust.evaluation.records import Evaluation
from robust.evaluation.tables import Grid, comparison, published
from robust.explain import imported
from robust.parsing import mendable_trainer, read_suite, read_yaml, restore, run_command
from robust.tracking import Run, Tracker, log_figures
from robust.types import View

_FIGURE_SAMPLES = 100
"""Test samples among which the figures find one that is classified correctly."""


class Subject(NamedTuple):
    """A trained run to evaluate."""

    run: Run | None
    """None for a checkpoint outside a run's folder."""
    path: Path
    defense: Defense
    data: ImageDataModule

    @staticmethod
    def of(path: Path) -> "Subject":
        """Read a run folder or a checkpoint.

        Raises:
            ConfigError: If it is neither.
        """
        checkpoint = find_checkpoint(path)
        return Subject(Run.from_checkpoint(checkpoint), checkpoint, *restore(checkpoint))

    @property
    def name(self) -> str:
        """``name/id`` of the run; the file without one."""
        return f"{self.run.name}/{self.run.id}" if self.run is not None else str(self.path)

    @property
    def folder(self) -> Path:
        """Where records and figures go: the run's folder, or the checkpoint's."""
        return self.run.folder if self.run is not None else self.path.parent

    def logger(self, suite: str) -> Logger | bool:
        """A W&B run of this evaluation in the group of the training; none without a run."""
        if self.run is None:
            return False
        run = replace(self.run, group=self.run.group or self.run.name)
        return Tracker(run, job_type=f"evaluate-{suite}")


def find_checkpoint(path: Path) -> Path:
    """The checkpoint of a run folder, or the checkpoint itself.

    Raises:
        ConfigError: If there is none, with the runs that a folder of runs holds.
    """
    if not path.is_dir():
        return path
    last = path / "checkpoints" / "last.ckpt"
    if last.is_file():
        return last
    found = sorted(str(p.parent.parent) for p in path.glob("**/checkpoints/last.ckpt"))
    hint = f"Name one of its runs: {', '.join(found[:5])}." if found else "Train one first."
    raise ConfigError(f"Expected a run in {path}, but it has no checkpoints/last.ckpt. {hint}")


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
    parser.add_argument("--figures", action="store_true", help="draw loss surfaces and scores")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write Markdown here")
    options = parser.parse_args(args)
    if options.suite is None and options.table is None:
        parser.error("expected --suite or --table, but got neither; see configs/suites")
    return options


def _evaluate(options: argparse.Namespace) -> None:
    table = read_table(options.table) if options.table else None
    suite = options.suite or options.table.parent / str(table and table["suite"])
    settings = {"limit": options.limit, "views": options.view}
    settings = {key: value for key, value in settings.items() if value is not None}
    subjects = {s.name: s for s in map(Subject.of, options.runs)}
    source = Subject.of(options.transfer_from).defense if options.transfer_from else None
    results: dict[str, Evaluation] = {}
    for name, subject in subjects.items():
        evaluation = read_suite(suite, records=str(subject.folder / "records"), **settings)
        if source is not None:
            source.check_fit(subject.data.shape, subject.data.num_classes, subject.data.name)
            evaluation.source = source
        trainer = _test(subject, evaluation, options.devices)
        assert evaluation.result is not None
        results[name] = evaluation.result
        if options.figures and trainer.is_global_zero:
            _draw(subject, evaluation, trainer.loggers)
    grids = [comparison(results)]
    if table is not None:
        defenses = {name: subject.defense for name, subject in subjects.items()}
        columns = match_columns(table, defenses)
        grids.append(published(table, {column: results[name] for column, name in columns.items()}))
    if trainer.is_global_zero:
        _report(grids, options.output)


def _test(subject: Subject, evaluation: AttackEvaluation, devices: int) -> Trainer:
    with mendable_trainer():
        trainer = Trainer(
            accelerator="auto",
            devices=devices,
            logger=subject.logger(evaluation.suite),
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
    info = next(iter(evaluation.infos.values()))
    targets = [i.target for i in evaluation.infos.values() if i.target is not None]
    batch = subject.data.test_samples(0, min(_FIGURE_SAMPLES, subject.data.test_size))
    figures = draw_figures(
        subject.defense.cpu(),
        batch,
        subject.folder / "figures",
        target=targets[0] if targets else 0,
        eps=info.eps,
    )
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
