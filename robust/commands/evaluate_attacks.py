"""The first stage of `evaluate.py`: runs are attacked and measured, before anything is printed."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.budget import within
from robust.evaluation.evidence.level import level_of
from robust.evaluation.suite import Source, Suite
from robust.io.notes import Steps
from robust.io.radius import with_radius
from robust.loading.paper_tables import PaperTable
from robust.loading.suites import read_evaluation
from robust.loading.trained_run import TrainedRun
from robust.measures.measurements import Measurement
from robust.results.records import Evaluation
from robust.tracking import Preemption, Processes
from robust.types import View

_Result = TypeVar("_Result")


@dataclass
class Attacked:
    """What attacks found.

    Args:
        suites: The suite as it was run, by run; the last of each.
        results: Records of the suite by run.
        transferred: Of attacks crafted on another column, by that one and the attacked.
        adaptive: Of a table's adaptive suite, by column.
        crafted_on: Name of the run that the suite was crafted on.
        at: What the title says of a suite whose eps or norm was changed.
    """

    suites: dict[str, Suite] = field(default_factory=dict)
    results: dict[str, Evaluation] = field(default_factory=dict)
    transferred: dict[str, dict[str, Evaluation]] = field(default_factory=dict)
    adaptive: dict[str, Evaluation] = field(default_factory=dict)
    crafted_on: str | None = None
    at: str = ""


class Attacks:
    """Attacks runs, one after the other; one that fails does not cost the others.

    Of several processes, the others would wait for one that goes on: there, the first failure ends
    the stage.

    Args:
        options: Those of `evaluate.py`.
        steps: Where the runs that failed are kept.
    """

    def __init__(self, options: argparse.Namespace, steps: Steps) -> None:
        self.options, self.steps = options, steps

    def run(
        self,
        suite: Path,
        trained_runs: Mapping[str, TrainedRun],
        table: PaperTable | None,
        source: TrainedRun | None,
    ) -> Attacked:
        """Attack all runs, and those of a table's columns as its rows and adaptive suite say."""
        found = Attacked(crafted_on=source.name if source is not None else None)

        def attack(name: str) -> Evaluation:
            found.suites[name], result = self._attack(suite, trained_runs[name], source)
            if self.options.eps is not None or self.options.norm is not None:
                found.at = f" at {with_radius(str(found.suites[name].threat_model))}"
            return result

        found.results = self._each(trained_runs, attack)
        if table is not None and not table.measured:
            self._as_in_table(found, suite, table, trained_runs)
        return found

    def _as_in_table(
        self,
        found: Attacked,
        suite: Path,
        table: PaperTable,
        trained_runs: Mapping[str, TrainedRun],
    ) -> None:
        runs = {c: trained_runs[name] for c, name in table.columns.items() if name in found.results}
        for source, columns in table.crafted.items():
            if source in runs:
                attacked = [column for column in runs if column in columns - {source}]
                found.transferred[source] = self._each(
                    attacked, partial(self._transfer, suite, runs, runs[source])
                )
        if "adaptive_suite" in table.content and "adaptive" in (self.options.view or ["adaptive"]):
            own = table.suite("adaptive_suite")
            found.adaptive = self._each(
                runs, lambda c: self._attack(own, runs[c], adaptive=True)[1]
            )

    def _transfer(
        self, suite: Path, runs: Mapping[str, TrainedRun], source: TrainedRun, column: str
    ) -> Evaluation:
        return self._attack(suite, runs[column], source)[1]

    def measure(
        self, measurement: Measurement[_Result], trained_runs: Mapping[str, TrainedRun]
    ) -> dict[str, _Result]:
        """What is measured of each run, in a test of its own."""
        return self._each(trained_runs, lambda name: _measure(trained_runs[name], measurement))

    def each(
        self, trained_runs: Mapping[str, TrainedRun], work: Callable[[TrainedRun], _Result]
    ) -> dict[str, _Result]:
        """What a function returns for each run."""
        return self._each(trained_runs, lambda name: work(trained_runs[name]))

    def _each(self, names: Iterable[str], work: Callable[[str], _Result]) -> dict[str, _Result]:
        done: dict[str, _Result] = {}
        together = self.options.processes.devices * self.options.processes.nodes > 1
        for name in names:
            if self.steps.failed and together:
                break
            with self.steps.step(name):
                done[name] = work(name)
        return done

    def _attack(
        self,
        suite: Path,
        trained_run: TrainedRun,
        source: TrainedRun | None = None,
        *,
        adaptive: bool = False,
    ) -> tuple[Suite, Evaluation]:
        """Attack a run; with a source by what is crafted on that; or all of it, but adaptively."""
        evaluation, _ = suite_for(self.options, suite, adaptive=adaptive)
        crafted = evaluation.suite.on(trained_run.data.name)
        if source is not None:
            # A table is of what a paper's attacker did, who took a network as it is.
            view: View = "published" if self.options.table else "adaptive"
            crafted = replace(crafted, source=Source(source.defense, view))
        trainer = _trainer(self.options.processes)
        return crafted, trained_run.evaluate(evaluation.replaced(suite=crafted), **trainer)


def processes(devices: int | None) -> Processes:
    """Return the processes that were started; else so many, or one, that are to be started.

    Args:
        devices: How many were asked for.

    Raises:
        ConfigError: If others were started than asked for.
    """
    launched = Processes.launched()
    if launched is None:
        return Processes(1 if devices is None else devices, nodes=1)
    if devices not in (None, launched.devices):
        raise ConfigError(
            f"Expected the processes that torchrun or srun started, {launched.devices} on each of "
            f"{launched.nodes} nodes, but got --devices {devices}. Leave it out."
        )
    return launched


def suite_for(
    options: argparse.Namespace, suite: Path, *, adaptive: bool = False
) -> tuple[AttackEvaluation, Sequence[str]]:
    """Return a suite's evaluation with the options of `evaluate.py`; or of all of it, adaptively.

    With it comes what a reader has to know of ``--eps`` and ``--norm``.

    Raises:
        ConfigError: If the suite cannot be read or has no such attacks, or an option is out of
            range.
    """
    settings = {"limit": options.limit, "views": ["adaptive"] if adaptive else options.view}
    settings = {key: value for key, value in settings.items() if value is not None}
    only = None if adaptive else options.attacks
    evaluation = read_evaluation(suite, only, **settings)
    changed = within(evaluation.suite, options.eps, options.norm)
    search = options.adaptive is not None
    evidence = level_of(options.evidence or evaluation.evidence)
    asked = {"search": search, "evidence": evidence, "features": options.features}
    return evaluation.replaced(suite=changed.suite, **asked), changed.notes


def check_suites(options: argparse.Namespace) -> None:
    """Raise for a suite that cannot be built, as far as that depends on no network and no data.

    Raises:
        ConfigError: As `suite_for`.
    """
    for suite in filter(None, (options.suite, options.attack_unit_test)):
        suite_for(options, suite)


def _measure(trained_run: TrainedRun, measurement: Measurement[_Result]) -> _Result:
    trainer = _trainer(Processes.leave_process_group())
    trained_run.test(measurement, measurement.name, **trainer)
    assert measurement.result is not None
    return measurement.result


def _trainer(processes: Processes) -> dict[str, Any]:
    """Return what the trainer of a command has that one of Python has not."""
    several = {"devices": processes.devices, "num_nodes": processes.nodes}
    return {**several, "callbacks": [Preemption()]}
