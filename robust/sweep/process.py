"""A run is a process with a slot and a log."""

import contextlib
import fcntl
import io
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, final

from robust.errors import ConfigError
from robust.io import files
from robust.io.names import printable
from robust.loading.messages import one_line
from robust.loading.trust import FLAGS_OF_FILE
from robust.vocabulary import SWEPT_KEYS

LOG = "log.txt"
"""File with what a run printed, in its folder; locked while its process is alive."""
_GRACE = 20.0
"""Seconds between SIGTERM, after which a training ends with its batch, and SIGKILL."""


class Slot(NamedTuple):
    """A slot has one run at a time.

    Args:
        name: Name in the table.
        devices: Its ``CUDA_VISIBLE_DEVICES``; None does not set that.
    """

    name: str
    devices: str | None = None


def parse_slots(text: str) -> list[Slot]:
    """Return slots such as ``gpu:0,gpu:1``; ``gpu:0+1`` has two GPUs, ``cpu`` none.

    Raises:
        ConfigError: If a slot has another form, or is named twice.
    """
    slots = []
    for name in text.split(","):
        kind, _, devices = name.partition(":")
        if name != "cpu" and (kind != "gpu" or not devices.replace("+", "").isalnum()):
            raise ConfigError(
                f"Expected slots such as gpu:0,gpu:1 or gpu:0+1,gpu:2+3 or cpu, but got {name!r}. "
                "Fix --slots."
            )
        slots.append(Slot(name, devices.replace("+", ",")))
    if len(set(slots)) < len(slots):
        raise ConfigError(f"Expected slots that differ, but got {text}. Fix --slots.")
    return slots


@final
class Process:
    """A command that runs in a slot, in a process group of its own.

    Args:
        command: The words of the command.
        folder: The folder of the run; its output is added to the log there.
        slot: Its devices.
        slots: How many slots share the cores of this machine.
        swept: Dotted keys that the sweep varies, which the name of the run in W&B has.

    Raises:
        ConfigError: If the log is no regular file.
        OSError: If the log cannot be written or the command not be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        slot: Slot,
        slots: int,
        swept: Sequence[str] = (),
    ) -> None:
        self.slot = slot
        self.began = time.monotonic()
        self.stopped: float | None = None
        """Time when it was asked to end, on the clock of `time.monotonic`."""
        self._log = folder / LOG
        folder.mkdir(parents=True, exist_ok=True)
        with _log(self._log) as log:
            # The process inherits the lock, so no second one starts.
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            log.write(f"$ {shlex.join(command)}\n")
            log.flush()
            self._popen = subprocess.Popen(
                command,
                env={**_environment(slot, slots), SWEPT_KEYS: json.dumps(list(swept))},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C in the terminal goes to the driver alone
            )

    @property
    def pid(self) -> int:
        """Its id, which is also the id of its group."""
        return self._popen.pid

    @property
    def seconds(self) -> float:
        """Wall time since its start."""
        return time.monotonic() - self.began

    def poll(self) -> int | None:
        """Return its exit code, minus the signal that ended it; None while it runs."""
        if self.stopped is not None and time.monotonic() > self.stopped + _GRACE:
            self.kill()
        return self._popen.poll()

    def stop(self) -> None:
        """Ask it to end; `poll` kills it if it does not."""
        if self.stopped is None:
            self.stopped = time.monotonic()
            _signal(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it and its group at once."""
        _signal(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until it ended, after `kill`."""
        self._popen.wait()

    def trouble(self) -> str:
        """Return the error in its log, in one line."""
        code = self._popen.returncode
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        lines = [line for line in _tail(self._log).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        return printable(one_line((errors or lines or ["it printed nothing"])[-1])).removeprefix(
            "error: "
        )


def end_orphan(folder: Path, pid: int | None, waiting: Callable[[], bool]) -> bool:
    """End what a driver that was killed left running in a folder; its checkpoint stays.

    Args:
        folder: The run's.
        pid: Its last process; without one its end is waited for.
        waiting: Asked between looks; False gives up.

    Returns:
        Whether nothing runs there any more.
    """
    try:
        log = _log(folder / LOG)
    except FileNotFoundError:
        return True
    began = time.monotonic()
    with log:
        while not _lock(log):
            if pid is not None:
                late = time.monotonic() > began + _GRACE
                _signal(pid, signal.SIGKILL if late else signal.SIGTERM)
            if not waiting():
                return False
    return True


def is_free(folder: Path) -> bool:
    """Return whether no process runs in the folder of a run, also of another machine."""
    try:
        with _log(folder / LOG) as log:
            return _lock(log)
    except FileNotFoundError:
        return True


def _log(path: Path) -> io.TextIOWrapper:
    """The log of a run, to add to.

    Raises:
        ConfigError: If there is something else in its place, such as a symbolic link.
        OSError: If it cannot be written.
    """
    files.check_own_file(path)
    return io.TextIOWrapper(files.open_to_append(path), "utf-8", write_through=True)


def _lock(file: io.TextIOWrapper) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _environment(slot: Slot, slots: int) -> dict[str, str]:
    """Return an environment that shares the cores among the slots, unless the user did."""
    threads = str(max(1, (os.cpu_count() or 1) // slots))
    environment = {"OMP_NUM_THREADS": threads, "WANDB_MODE": "offline", **os.environ}
    environment[FLAGS_OF_FILE] = "1"
    if slot.devices is not None:
        environment["CUDA_VISIBLE_DEVICES"] = slot.devices
    if "SLURM_JOB_ID" in environment:
        # Lightning's word for a job whose processes srun does not start.
        environment["SLURM_JOB_NAME"] = "interactive"
    # If the sweep inherited them, all its processes would be one run.
    for name in ("WANDB_RUN_ID", "ROBUST_RUN_ID", "WANDB_SWEEP_ID"):
        environment.pop(name, None)
    return environment


def _tail(path: Path, size: int = 20_000) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode(errors="replace")
