"""The loop of a sweep starts runs in free slots, watches their metrics, and ends bad ones."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, final

from robust.errors import ConfigError
from robust.loading.messages import nearest, one_line
from robust.sweep.file import History, SweepFile
from robust.sweep.heartbeat import machine
from robust.sweep.hyperband import losers
from robust.sweep.process import Process, Slot, end_orphan, is_free
from robust.sweep.search import Objectives, Sampler, learned_point, random_point
from robust.sweep.study import Study
from robust.sweep.trials import State, Trial
from robust.tracking import read_metrics
from robust.tracking.preemption import REQUEUE

_PREEMPTED = (REQUEUE, 128 + signal.SIGTERM)
"""Exit codes of a training that somebody else stopped."""


@dataclass(frozen=True)
class Settings:
    """Settings say how a sweep is run.

    Args:
        root: Parent of the sweep's folder.
        slots: Each slot has one run at a time.
        count: Number of runs in all; None for a complete grid.
        failures: This many failed runs in a row end the sweep.
        flags: Added to the command of every run.
        retry: Whether runs that failed in an earlier session run again.
        pareto: Whether clean and adaptive accuracy are optimized, not the metric of the file.
        sampler: How `bayes` chooses.
        seed: Of what is chosen at random.
        storage: URL of a database for the study; None for a journal in its folder.
        poll: Seconds between two checks of the runs.
    """

    root: Path
    slots: Sequence[Slot]
    count: int | None = None
    failures: int = 3
    flags: Sequence[str] = ()
    retry: bool = False
    pareto: bool = False
    sampler: Sampler = "tpe"
    seed: int = 0
    storage: str | None = field(default=None, repr=False)  # it may hold a password
    poll: float = 1.0

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that must not change during a sweep."""
        return {"flags": list(self.flags), "pareto": self.pareto, "seed": self.seed}


@final
class Driver:
    """Runs a sweep in ``root/name``, and no run that its study has already.

    Other drivers may be at the same study. This one takes over what is left of those that die, and
    ends when every run has ended.

    Args:
        file: What to run.
        study: What was run.
        settings: How to run it.
        report: Called with the driver after every check.

    Raises:
        ConfigError: From `run`, if Optuna cannot search the parameters, or the study is damaged.
    """

    def __init__(
        self,
        file: SweepFile,
        study: Study,
        settings: Settings,
        report: Callable[["Driver"], None],
    ) -> None:
        self.file, self.study, self.settings = file, study, settings
        self.live: dict[str, Process] = {}
        """Processes by the ids of their runs."""
        self.interrupts = 0
        """How many signals to end have come."""
        self._report = report
        self._woken = threading.Event()
        self._failed_in_a_row = 0
        self._histories: dict[str, tuple[State, History]] = {}
        self.trials = study.trials()
        """Every run so far, in the order of their start."""
        self.objectives = Objectives.of_file(file, pareto=settings.pareto)
        self._limit = file.limit(settings.count)
        failed = [trial.number for trial in self.trials if trial.state == "failed"]
        self._again = set(failed) if settings.retry else set()

    @property
    def folder(self) -> Path:
        """The folder of the sweep; each run has one in it."""
        return self.settings.root / self.file.name

    @property
    def gave_up(self) -> bool:
        """Whether too many runs failed in a row."""
        return self._failed_in_a_row >= self.settings.failures

    def history(self, trial: Trial) -> History:
        """Return what a run has logged so far."""
        state, history = self._histories.get(trial.id, ("running", []))
        if state != trial.state or state == "running":
            history = read_metrics(self.folder / trial.id)
            self._histories[trial.id] = trial.state, history
        return history

    def run(self) -> None:
        """Go on until all runs ended, too many failed in a row, or a signal came."""
        with self._signals():
            try:
                while self._step():
                    self._report(self)
                    self._woken.wait(self.settings.poll)
                    self._woken.clear()
            finally:
                for process in self.live.values():
                    process.kill()
                    process.wait()
        self._report(self)

    def _step(self) -> bool:
        """Check all runs once; return False if nothing is left to do."""
        self._look()
        for trial in self.trials:
            if trial.id in self.live:
                self._reap(trial)
        if self.interrupts:
            for process in self.live.values():
                process.kill() if self.interrupts > 1 else process.stop()
        else:
            self._stop_losers()
            self._fill_slots()
        self._look()
        return bool(self.live) or self._waits_for_others()

    def _look(self) -> None:
        """See what other drivers did; a run that was taken from this one ends."""
        self.study.beat()
        self.trials = self.study.trials()
        for trial in self.trials:
            if trial.id in self.live and not self.study.is_own(trial):
                process = self.live.pop(trial.id)
                process.kill()
                process.wait()

    def _waits_for_others(self) -> bool:
        is_ending = self.interrupts or self.gave_up
        return not is_ending and any(t.state in ("running", "interrupted") for t in self.trials)

    def _stop_losers(self) -> None:
        settings = self.file.content.get("early_terminate")
        if settings and self.live:
            sign, key = -1 if self.file.maximized else 1, self.file.metric
            histories = {
                trial.id: [sign * row[key] for row in self.history(trial) if key in row]
                for trial in self.trials
            }
            for stopped in losers(settings, histories, list(self.live)):
                self.live[stopped].stop()

    def _reap(self, trial: Trial) -> None:
        process = self.live[trial.id]
        code = process.poll()
        if code is None:
            return
        history = self.history(trial)
        del self.live[trial.id]
        state, message = self._outcome(process, code, history)
        values = self.objectives.values(history) if state in ("finished", "stopped") else None
        self.study.end(trial, state, message, process.seconds, values)
        self._failed_in_a_row = self._failed_in_a_row + 1 if state == "failed" else 0

    def _outcome(self, process: Process, code: int, history: History) -> tuple[State, str]:
        if self.interrupts:  # whatever its code, since the same signal may have ended the run
            return "interrupted", ""
        if process.stopped is not None:
            return "stopped", "by hyperband"
        if code in _PREEMPTED:
            return "interrupted", ""
        if code != 0:
            return "failed", process.trouble()
        logged = {key for row in history for key in row}
        for metric in (self.file.metric, *self.objectives.metrics):
            if metric not in logged:
                return "failed", f"it logged no {metric}.{nearest(metric, logged)}"
        return "finished", ""

    def _fill_slots(self) -> None:
        taken = [process.slot for process in self.live.values()]
        for slot in self.settings.slots:
            if slot in taken or self.gave_up or self.interrupts:
                continue
            trial = self.study.claim(self._choose) if self._may_choose() else None
            if trial is None:
                return
            self._start(trial, slot)
            self._look()

    def _may_choose(self) -> bool:
        """Return whether there is something to run, as far as was seen without a turn."""
        return len(self.trials) < self._limit or any(map(self._is_left, self.trials))

    def _is_left(self, trial: Trial) -> bool:
        """Return whether a run has to go on, or runs again after a failure."""
        if trial.state != "interrupted" or trial.id in self.live:
            return trial.state == "failed" and trial.number in self._again
        # Only on its machine can be ended what a killed driver left.
        return trial.machine in (None, machine()) or is_free(self.folder / trial.id)

    def _choose(self, trials: Sequence[Trial]) -> Trial | Mapping[str, Any] | None:
        """Return a run that is left, else what a new one varies; None if there is none to start."""
        self.trials = list(trials)
        left = next(filter(self._is_left, trials), None)
        if left is not None:
            return left
        return self._suggestion(len(trials)) if len(trials) < self._limit else None

    def _suggestion(self, index: int) -> Mapping[str, Any]:
        space, seed = self.file.space, self.settings.seed
        try:
            if self.file.method == "grid":
                return space.point(index)
            if self.file.method == "random":
                return random_point(space, index, seed)
            ways, sampler = self.objectives.directions, self.settings.sampler
            return learned_point(space, self.study.earlier(), ways, seed, sampler)
        except Exception as error:  # Optuna may fail over values that are valid
            raise ConfigError(
                f"Expected parameters that {self.file.method} can search in {self.file.path}, "
                f"but: {one_line(str(error)) or type(error).__name__}."
            ) from None

    def _start(self, trial: Trial, slot: Slot) -> None:
        folder = self.folder / trial.id
        pid = trial.pid if trial.machine == machine() else None
        if not end_orphan(folder, pid, self._waiting):
            self.study.end(trial, "interrupted")
            return
        command = [*self.file.command(trial.parameters), *self._own_flags(trial)]
        try:
            process = Process(command, folder, slot, len(self.settings.slots), self.file.keys)
        except OSError as error:
            self.study.end(trial, "failed", f"{error.strerror}: {error.filename}")
            self._failed_in_a_row += 1
            return
        self.live[trial.id] = process
        self.study.started(trial, process.pid)

    def _own_flags(self, trial: Trial) -> list[str]:
        """Return flags for the folder of the run, whose checkpoint it goes on from."""
        flags = [*self.settings.flags, f"--run.root={self.settings.root}"]
        flags += [f"--run.name={self.file.name}", f"--run.id={trial.id}"]
        flags.append(f"--run.group={self.file.name}")
        if self.file.content.get("project"):
            flags.append(f"--run.project={self.file.content['project']}")
        return [*flags, "--run.resume=auto"]

    def _waiting(self) -> bool:
        self.study.beat()
        self._report(self)
        self._woken.wait(self.settings.poll)
        return not self.interrupts

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the runs; a second signal ends them at once."""

        def interrupt(number: int, frame: FrameType | None) -> None:
            self.interrupts += 1
            self._woken.set()

        earlier = {n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)
