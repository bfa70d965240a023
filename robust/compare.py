"""The second command: `python evaluate.py RUN... --suite FILE` attacks runs and compares them."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self, get_args

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
from robust.parsing import keep_freed_memory, read_suite, read_yaml, restore, run_command
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

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a run folder or a checkpoint.

        Raises:
            ConfigError: If it is neither.
        """
        checkpoint = find_checkpoint(path)
        return cls(Run.from_checkpoint(checkpoint), checkpoint, *restore(checkpoint))

    @property
    def name(self) -> str:
        """``name/id`` of the run; the file without one."""
        return f"{self.run.name}/{self.run.id}" if self.run is not None else self.path.name

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
    keep_freed_memory()
    return run_command(lambda: _evaluate(_parse(args)))


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Attack trained runs and print how they compare. Records are kept beside each "
        "checkpoint; what is on record is not attacked again."
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
    table = read_yaml(options.table) if options.table else None
    suite = options.suite or options.table.parent / str(table and table.get("suite"))
    settings = {"limit": options.limit, "views": options.view}
    settings = {key: value for key, value in settings.items() if value is not None}
    subjects = [Subject.of(path) for path in options.runs]
    source = Subject.of(options.transfer_from).defense if options.transfer_from else None
    results: dict[str, Evaluation] = {}
    for subject in subjects:
        evaluation = read_suite(suite, records=str(subject.folder / "records"), **settings)
        evaluation.source = source
        trainer = _test(subject, evaluation, options.devices)
        if evaluation.result is None:
            raise ConfigError(f"Expected attacks in {suite}, but there are none.")
        results[subject.name] = evaluation.result
        if options.figures and trainer.is_global_zero:
            _draw(subject, evaluation, trainer.loggers)
    grids = [comparison(results)]
    if table is not None:
        grids.append(published(table, match_columns(table, subjects, results)))
    if trainer.is_global_zero:
        _report(grids, options.output)


def _test(subject: Subject, evaluation: AttackEvaluation, devices: int) -> Trainer:
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


def match_columns(
    table: Mapping[str, Any], subjects: Sequence[Subject], results: Mapping[str, Evaluation]
) -> dict[str, Evaluation]:
    """Records by the columns of a table: the run whose defense is what a column describes.

    Raises:
        ConfigError: If two runs are the same column.
    """
    columns: dict[str, Evaluation] = {}
    for subject in subjects:
        for column, wanted in table["columns"].items():
            if not _is(subject.defense, wanted):
                continue
            if column in columns:
                raise ConfigError(
                    f"Expected one run for column {column!r} of {table['title']}, but got two. "
                    "Name one of each defense."
                )
            columns[column] = results[subject.name]
    return columns


def _is(defense: Defense, wanted: Mapping[str, Any]) -> bool:
    kind = type(defense)
    same_class = f"{kind.__module__}.{kind.__name__}".startswith("robust.defenses.") and (
        wanted["class_path"].rpartition(".")[2] == kind.__name__
    )
    arguments = wanted.get("init_args", {})
    return same_class and all(getattr(defense, k, None) == v for k, v in arguments.items())


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
