"""The numbers of a paper's table are kept in a CSV file, beside what they come from."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from robust.commands.evaluate_attacks import Attacked
from robust.commands.published.beside import Beside
from robust.errors import ConfigError
from robust.evaluation.fingerprints import model_sha256
from robust.io.commit import code_commit
from robust.io.labels import seed_of
from robust.io.names import printable
from robust.io.strict_yaml import read
from robust.loading.mismatches import FACTS
from robust.loading.trained_run import TrainedRun
from robust.measures.measured_tables import MeasuredCell, Number, measured_cells
from robust.results.published.cells import Ours, PaperCell, Records, attack_cells, clean_cells
from robust.results.published.result_file import Result, add_results, read_results
from robust.results.records import Evaluation


class Kept(NamedTuple):
    """Where the numbers of a table go, and the command that they are those of."""

    path: Path
    command: str

    def check(self) -> None:
        """Raise if the file is damaged or has no folder, before hours of attacks.

        Raises:
            ConfigError: With what to do.
        """
        if not self.path.absolute().parent.is_dir():
            raise ConfigError(
                f"Expected to write results to {self.path}, but its folder does not exist. "
                "Choose another file."
            )
        read_results(self.path)

    def add(self, results: Sequence[Result]) -> None:
        """Put numbers into the file, and say so on standard error.

        Raises:
            ConfigError: If the file is damaged or cannot be written.
        """
        new = add_results(self.path, results)
        print(f"Written to {printable(self.path)}: {len(new)} new numbers.", file=sys.stderr)


def attacked_results(
    beside: Beside, attacked: Attacked, runs: Mapping[str, TrainedRun], command: str
) -> list[Result]:
    """Return the numbers of a table of attacks, of those cells that were attacked.

    Args:
        beside: The table.
        attacked: What was found.
        runs: By their names.
        command: What a reader runs to get them.
    """
    table = beside.table
    columns = table.of_columns(attacked.results)
    records = Records(columns, attacked.transferred, attacked.adaptive)
    cells = [*clean_cells(table.content, columns), *attack_cells(table.content, records)]
    origins = _origins(beside, runs, command)
    suite = bool(table.suite_notes(columns))
    return [
        _of_attacks(cell, ours, origins[cell.column], other_suite=suite)
        for cell in cells
        for ours in (cell.ours, cell.beside)
        if ours is not None and ours.rate.n
    ]


def measured_results(
    beside: Beside, measured: Mapping[str, Any], runs: Mapping[str, TrainedRun], command: str
) -> list[Result]:
    """Return the numbers of a table of a measurement.

    Args:
        beside: The table.
        measured: Results by run.
        runs: By their names.
        command: What a reader runs to get them.
    """
    table, origins = beside.table, _origins(beside, runs, command)
    view = table.content.get("view", "deployed")
    return [
        _of_measure(cell, seen, number, table.content, origins[cell.column])
        for cell in measured_cells(table.content, table.of_columns(measured))
        for seen, number in ((view, cell.ours), ("adaptive", cell.beside))
        if number is not None and math.isfinite(number.value)
    ]


def _origins(
    beside: Beside, runs: Mapping[str, TrainedRun], command: str
) -> dict[str, dict[str, Any]]:
    """Return what all numbers of a column have in common."""
    return {
        column: {
            "table": beside.table.path.stem,
            "column": column,
            "differs": [m.key for m in beside.differing.get(column, ())],
            "seed": seed_of(runs[name].folder),
            "config": _config(runs[name]),
            "network": model_sha256(runs[name].defense)[:8],
            "precision": _precision(runs[name].folder),
            "commit": code_commit(),
            "command": command,
        }
        for column, name in beside.table.columns.items()
    }


def _config(run: TrainedRun) -> str:
    return run.path.stem if run.run is None else str(run.run.name)


def _precision(folder: Path) -> str:
    """Return the precision of a training by the run's config; empty if it has none."""
    try:
        trainer = read(folder / "config.yaml")["trainer"]
        precision = str(trainer.get("precision") or "32-true")
    except (ConfigError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return "float32" if precision in ("32", "32-true") else precision


def _of_attacks(
    cell: PaperCell, ours: Ours, origin: Mapping[str, Any], *, other_suite: bool
) -> Result:
    low, high = ours.rate.interval
    value = ours.rate.value
    differs = [*origin["differs"], *(["suite"] * (other_suite and bool(ours.attacks)))]
    assert ours.evaluation is not None
    return Result(
        **{**origin, "differs": _listed(differs), "row": cell.row, "view": ours.view},
        attack="+".join(ours.attacks),
        published=cell.published,
        value=_rounded(100 * value),
        n=_images(ours),
        low=_rounded(100 * min(low, value)),
        high=_rounded(100 * max(high, value)),
        unit_test=_unit_test(ours),
        hours=_hours(ours.evaluation, ours),
    )


def _of_measure(
    cell: MeasuredCell,
    view: str,
    number: Number,
    content: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> Result:
    has_interval = math.isfinite(number.low)
    return Result(
        **{**origin, "differs": _listed(origin["differs"]), "row": cell.row, "view": view},
        attack=str(content["rows"][cell.row]["measure"]),
        published=cell.published,
        value=_rounded(number.value, 4),
        n=cell.n,
        low=_rounded(number.low, 4) if has_interval else None,
        high=_rounded(number.high, 4) if has_interval else None,
        unit_test="",
        hours=None,
    )


def _images(ours: Ours) -> int:
    """Return how many images were evaluated, of which a success rate counts the attacked alone."""
    if ours.evaluation is None or not ours.attacks:
        return ours.rate.n
    return len(ours.evaluation.select(ours.view, ours.attacks[0]))


def _listed(differs: Sequence[str]) -> str:
    return ", ".join(key for key in (*FACTS, "suite") if key in differs)


def _rounded(value: float, digits: int = 2) -> float:
    return round(value, digits) + 0.0  # no -0


def _unit_test(ours: Ours) -> str:
    """Return the scores of the attack unit test under the threat models of the attacks."""
    evidence = None if ours.evaluation is None else ours.evaluation.evidence
    if evidence is None or ours.evaluation is None:
        return ""
    budgets = dict.fromkeys(ours.evaluation.header.attacks[name].budget for name in ours.attacks)
    return " ".join(_scores(evidence.trials, budgets, ours.view))


def _scores(trials: Mapping[str, Any], budgets: Mapping[str, None], view: str) -> Iterator[str]:
    for budget in budgets:
        score = trials[budget].scores.get(view) if budget in trials else None
        if score is not None:
            yield f"{score.found.hits}/{score.found.n}"


def _hours(evaluation: Evaluation, ours: Ours) -> float | None:
    """Return how long the attacks took on all images; None without an attack."""
    if not ours.attacks:
        return None
    seconds = (evaluation.select(ours.view, name)["seconds"] for name in ours.attacks)
    return round(sum(float(column.sum()) for column in seconds) / 3600, 4)
