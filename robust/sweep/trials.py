"""A run of a sweep."""

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["running", "interrupted", "finished", "stopped", "failed"]
"""``stopped`` by hyperband; ``interrupted`` with its sweep, and to go on with it."""


@dataclass
class Trial:
    """One run of a sweep.

    Args:
        id: Its run id, and the name of its folder.
        parameters: The value of each parameter of the sweep.
        state: How far it is.
        message: What went wrong, in one line.
        seconds: Wall time of all its sessions that ended.
        pid: Its last process.
    """

    id: str
    parameters: dict[str, Any]
    state: State = "running"
    message: str = ""
    seconds: float = 0.0
    pid: int | None = None
