"""A trial is a run of a sweep."""

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["running", "interrupted", "finished", "stopped", "failed"]
"""Hyperband ``stopped`` it; an ``interrupted`` run goes on with its sweep."""


@dataclass
class Trial:
    """One run of a sweep.

    Args:
        id: Its run id, and the name of its folder.
        parameters: The value of each parameter of the sweep.
        state: Its state.
        message: Its error in one line.
        seconds: Wall time of all its sessions that ended.
        pid: Id of its last process.
        index: Which run of the sweep it is, from 0.
        number: Optuna's id of the trial.
        driver: Id of the driver that runs it.
        machine: Where its last process was started.
    """

    id: str
    parameters: dict[str, Any]
    state: State = "running"
    message: str = ""
    seconds: float = 0.0
    pid: int | None = None
    index: int = 0
    number: int = 0
    driver: str | None = None
    machine: str | None = None
