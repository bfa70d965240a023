"""A journal keeps the state of a sweep on disk: which runs started, and how they ended."""

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, final

from robust.errors import ConfigError
from robust.io import files
from robust.sweep.events import Event, read_events
from robust.sweep.trials import State, Trial


@final
class Journal:
    """A file to which events are appended, each before the driver acts on it.

    A driver that is killed at any time leaves complete lines, from which the next one rebuilds
    `trials`. Runs that were running then are ``interrupted``. The file is locked while it is open.

    Args:
        path: The file; made if absent.
        identity: Settings that identify the sweep, in JSON's types; kept in the first line.

    Raises:
        ConfigError: If the file cannot be written or another process has it open. Also if a line is
            damaged, or the file belongs to a sweep of another identity.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.trials: dict[str, Trial] = {}
        self._file = _locked(path)
        try:
            self._go_on(read_events(path, self._file), identity)
        except ConfigError:
            self.close()
            raise
        for trial in self.trials.values():
            if trial.state == "running":
                trial.state = "interrupted"

    def _go_on(self, events: Sequence[Event], identity: Mapping[str, Any]) -> None:
        if not events:
            self._append({"event": "sweep", "identity": dict(identity)})
        elif message := _difference(self.path, events[0]["identity"], identity):
            raise ConfigError(message)
        for event in events[1:]:
            self._replay(event)

    def start(self, trial: Trial) -> None:
        """Record that a process of ``trial`` is about to start."""
        self._append({"event": "start", "id": trial.id, "parameters": trial.parameters})
        trial.state, trial.message = "running", ""
        self.trials[trial.id] = trial

    def started(self, trial: Trial, pid: int) -> None:
        """Record that it was started as ``pid``."""
        trial.pid = pid
        self._append({"event": "pid", "id": trial.id, "pid": pid})

    def end(self, trial: Trial, state: State, message: str, seconds: float) -> None:
        """Record that it ended ``seconds`` after its start."""
        event = {"event": "end", "id": trial.id, "state": state, "message": message}
        self._append({**event, "seconds": round(seconds, 1)})
        trial.state, trial.message = state, message
        trial.seconds += seconds

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, event: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(event).encode() + b"\n")
        os.fsync(self._file.fileno())

    def _replay(self, event: Event) -> None:
        if event["event"] == "start":
            trial = self.trials.setdefault(event["id"], Trial(event["id"], event["parameters"]))
            trial.state, trial.message = "running", ""
            return
        trial = self.trials[event["id"]]
        if event["event"] == "pid":
            trial.pid = event["pid"]
        else:
            trial.state, trial.message = event["state"], event["message"]
            trial.seconds += event["seconds"]


def _locked(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = files.open_to_append(path)
    except OSError as error:
        raise ConfigError(
            f"Expected to write {path}, but cannot ({error.strerror}). Choose another --root."
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigError(
            f"Expected one process to run the sweep of {path.parent}, but another one is at it. "
            "Wait for it, or choose another --root."
        ) from None
    return file


def _difference(path: Path, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    # JSON changes some types.
    plain = json.loads(json.dumps(now))
    changed = sorted(f"`{k}`" for k in {*earlier, *plain} if earlier.get(k) != plain.get(k))
    if not changed:
        return ""
    return (
        f"Expected the sweep that {path.parent} holds, but {' and '.join(changed)} changed since. "
        "Choose another --root or another `name` in the file."
    )
