"""The lines of a sweep's journal are checked before they are used."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, get_args

from robust.errors import ConfigError
from robust.io.names import check_name
from robust.sweep.trials import State

Event = Mapping[str, Any]
_LONGEST = 60
"""Characters that are shown of what is wrong with a line."""


def read_events(path: Path, file: IO[bytes]) -> list[Event]:
    """Return the events of a journal, and cut off an incomplete last line of a killed process.

    Blank lines are ignored.

    Args:
        path: Its path, for the message.
        file: The same file, open.

    Raises:
        ConfigError: If a line is no event, or the event of a run that no earlier line started.
    """
    file.seek(0)
    content = file.read()
    complete = content[: content.rfind(b"\n") + 1]
    if complete != content:
        file.truncate(len(complete))
    return list(_checked(path, complete))


def _checked(path: Path, content: bytes) -> Iterator[Event]:
    known: set[str] = set()
    first = True
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line.decode())
            _check(event, known, first=first)
        except (ValueError, RecursionError, ConfigError) as error:
            wrong = " ".join(str(error).split())[:_LONGEST]
            raise ConfigError(
                f"Expected an event of a sweep in line {number} of {path}, but it is damaged "
                f"({wrong}). Remove the line, or choose another --root."
            ) from None
        first = False
        yield event


def _check(event: Any, known: set[str], *, first: bool) -> None:  # noqa: ANN401
    _require(isinstance(event, dict), "no mapping")
    kind = event.get("event")
    if first:
        _require(kind == "sweep" and isinstance(event.get("identity"), dict), "not of a sweep")
        return
    _require(isinstance(kind, str) and kind in _CHECKS, "no such event")
    check_name("`id`", event.get("id"), is_file=True)
    _require(kind == "start" or event["id"] in known, "of a run that was not started")
    _CHECKS[kind](event)
    known.add(event["id"])


def _check_start(event: Event) -> None:
    _require(isinstance(event.get("parameters"), dict), "`parameters` are no mapping")


def _check_pid(event: Event) -> None:
    pid = event.get("pid")
    _require(type(pid) is int and 1 < pid < 2**31, "`pid` is no process")


def _check_end(event: Event) -> None:
    state, seconds = event.get("state"), event.get("seconds")
    _require(isinstance(state, str) and state in get_args(State), "no such `state`")
    _require(isinstance(event.get("message"), str), "`message` is no text")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    _require(is_number and 0 <= float(seconds or 0) < math.inf, "`seconds` is no time")


_CHECKS = {"start": _check_start, "pid": _check_pid, "end": _check_end}


def _require(right: bool, otherwise: str) -> None:
    if not right:
        raise ValueError(otherwise)
