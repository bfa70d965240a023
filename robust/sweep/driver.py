"""The loop of a sweep starts runs in free slots, watches their metrics, and ends bad ones."""

import contextlib
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import final

from robust.loading.messages import nearest
from robust.sweep.file import History, SweepFile
from robust.sweep.journal import Journal
from robust.sweep.process import Process, Slot, end_orphan
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
        poll: Seconds between two checks of the runs.
    """

    root: Path
    slots: Sequence[Slot]
    count: int | None = None
    failures: int = 3
    flags: Sequence[str] = ()
    retry: bool = False
    poll: float = 1.0


@final
class Driver:
    """Runs a sweep in ``root/name``, and no run that is in its journal already.

    Args:
        file: What to run.
        journal: What was run.
        settings: How to run it.
        report: Called with the driver after every check.

    Raises:
        ConfigError: From `run`, if the file's parameters cannot be searched.
    """

    def __init__(
        self,
        file: SweepFile,
        journal: Journal,
        settings: Settings,
        report: Callable[["Driver"], None],
    ) -> None:
        self.file, self.journal, self.settings = file, journal, settings
        self.live: dict[str, Process] = {}
        """Processes by the ids of their runs."""
        self.interrupts = 0
        """How many signals to end have come."""
        self._report = report
        self._woken = threading.Event()
        self._failed_in_a_row = 0
        self._histories: dict[str, History] = {}
        if settings.retry:
            for trial in self.trials:
                trial.state = "interrupted" if trial.state == "failed" else trial.state

    @property
    def folder(self) -> Path:
        """The folder of the sweep; each run has one in it."""
        return self.settings.root / self.file.name

    @property
    def trials(self) -> list[Trial]:
        """Every run so far, in the order of their start."""
        return list(self.journal.trials.values())

    @property
    def gave_up(self) -> bool:
        """Whether too many runs failed in a row."""
        return self._failed_in_a_row >= self.settings.failures

    def history(self, trial: Trial) -> History:
        """Return what a run has logged so far."""
        if trial.id in self.live or trial.id not in self._histories:
            self._histories[trial.id] = read_metrics(self.folder / trial.id)
        return self._histories[trial.id]

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
        for trial in self.trials:
            if trial.id in self.live:
                self._reap(trial)
        if self.interrupts:
            for process in self.live.values():
                process.kill() if self.interrupts > 1 else process.stop()
        else:
            for stopped in self.file.to_stop(self.trials, self._all_histories()):
                self.live[stopped].stop()
            self._fill_slots()
        return bool(self.live)

    def _reap(self, trial: Trial) -> None:
        process = self.live[trial.id]
        code = process.poll()
        if code is None:
            return
        history = self.history(trial)
        del self.live[trial.id]
        state, message = self._outcome(process, code, history)
        self.journal.end(trial, state, message, process.seconds)
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
        if self.file.metric in logged:
            return "finished", ""
        return "failed", f"it logged no {self.file.metric}.{nearest(self.file.metric, logged)}"

    def _fill_slots(self) -> None:
        taken = [process.slot for process in self.live.values()]
        for slot in self.settings.slots:
            if slot in taken or self.gave_up or self.interrupts:
                continue
            trial = self._next()
            if trial is None:
                return
            self._start(trial, slot)

    def _next(self) -> Trial | None:
        """Return an interrupted run, else a new one; None if there is none to start."""
        for trial in self.trials:
            if trial.state == "interrupted" and trial.id not in self.live:
                return trial
        count = self.settings.count
        if count is not None and len(self.trials) >= count:
            return None
        parameters = self.file.suggest(self.trials, self._all_histories())
        if parameters is None:
            return None
        return Trial(f"{len(self.trials):03}-{secrets.token_hex(3)}", parameters)

    def _start(self, trial: Trial, slot: Slot) -> None:
        folder = self.folder / trial.id
        if not end_orphan(folder, trial.pid, self._waiting):
            return
        command = [*self.file.command(trial.parameters), *self._own_flags(trial)]
        self.journal.start(trial)
        try:
            process = Process(command, folder, slot, len(self.settings.slots))
        except OSError as error:
            self.journal.end(trial, "failed", f"{error.strerror}: {error.filename}", 0.0)
            self._failed_in_a_row += 1
            return
        self.live[trial.id] = process
        self.journal.started(trial, process.pid)

    def _own_flags(self, trial: Trial) -> list[str]:
        """Return flags for the folder of the run, whose checkpoint it goes on from."""
        flags = [*self.settings.flags, f"--run.root={self.settings.root}"]
        flags += [f"--run.name={self.file.name}", f"--run.id={trial.id}"]
        flags.append(f"--run.group={self.file.name}")
        if self.file.content.get("project"):
            flags.append(f"--run.project={self.file.content['project']}")
        return [*flags, "--run.resume=auto"]

    def _waiting(self) -> bool:
        self._report(self)
        self._woken.wait(self.settings.poll)
        return not self.interrupts

    def _all_histories(self) -> dict[str, History]:
        return {trial.id: self.history(trial) for trial in self.trials}

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
