"""The journal of a sweep is one of Optuna, whose lines are checked before they are used."""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, final

from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import TrialState

from robust.errors import ConfigError, in_short
from robust.io import files
from robust.io.names import check_name

Line = Mapping[str, Any]
_LONGEST = 60
"""Characters that are shown of what is wrong with a line."""
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
_LONGEST_TURN = 60.0
"""Seconds after which a driver that was killed in its turn keeps no other one from theirs."""
_LONGEST_LINK = 5.0
"""Seconds after which a link is no lock that another tool of Optuna has for a moment."""
_LONGEST_PAUSE = 1.0


@contextlib.contextmanager
def turn(path: Path) -> Iterator[None]:
    """Keep all others that take turns at a path from theirs meanwhile, also on other machines.

    The lock is a file beside it, made by the process that has its turn. One that a killed process
    left is removed when it was seen unchanged for a minute, so no clocks are compared.

    Args:
        path: What is changed; the lock is called as it is, with ``.lock`` at its end.

    Raises:
        ConfigError: If there is something else in the place of the lock, such as a folder.
        OSError: If the lock cannot be made, or one that was left cannot be removed.
    """
    lock = path.with_name(f"{path.name}.lock")
    made = _make(lock)
    try:
        yield
    finally:
        # A turn that took too long ended, and the lock may be that of another one.
        with contextlib.suppress(FileNotFoundError):
            if _mark(lock.lstat()) == made:
                lock.unlink()


_Mark = tuple[int, int]
"""What tells a lock from the next one of its name."""


def _mark(status: os.stat_result) -> _Mark:
    return status.st_ino, status.st_mtime_ns


def _make(lock: Path) -> _Mark:
    """Make a lock, when the one that may be there is gone."""
    seen, since, pause = (0, 0), time.monotonic(), 0.001
    while True:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(lock, _NEW, 0o666)
            try:
                return _mark(os.fstat(descriptor))
            finally:
                os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            if (mark := _mark(lock.lstat())) != seen:
                seen, since = mark, time.monotonic()
            if not lock.is_symlink() or time.monotonic() > since + _LONGEST_LINK:
                files.check_own_file(lock)
            if time.monotonic() > since + _LONGEST_TURN:
                lock.unlink()
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


@final
class Journal(JournalStorage):
    """Storage in a file of JSON lines, which several processes and machines may share.

    Optuna reads and writes it, under its lock that holds on a network file system as well.

    Args:
        path: The file; made with its first line.

    Raises:
        ConfigError: Always when it is read, if a line of it is damaged.
        OSError: If it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        files.check_own_file(path)
        self._lines = _Lines(path)
        super().__init__(self._lines)

    def _sync_with_backend(self) -> None:
        try:
            super()._sync_with_backend()
        except (ConfigError, OSError):
            raise
        except Exception as error:  # of Optuna, which takes the lines of a journal for its own
            raise self._lines.damaged(error) from None


@final
class _Lines(BaseJournalBackend):
    """The lines of a journal; blank ones count for nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._number = 0
        self._check = _Check()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the lines that were added since the last call."""
        if not os.path.lexists(self._path):
            return
        with files.open_to_append(self._path) as file:
            file.seek(self._offset)
            content = file.read()
        # What a killed process left behind the last line is ignored.
        for line in content.split(b"\n")[:-1]:
            self._offset += len(line) + 1
            self._number += 1
            if line.strip():
                try:
                    parsed = json.loads(line.decode())
                    self._check.line(parsed)
                except (ValueError, RecursionError, ConfigError) as error:
                    raise self.damaged(error) from None
                yield parsed

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append all lines or none, in the place of what a killed process left."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with turn(self._path):
            self._cut_incomplete()
            files.append(self._path, text)

    def _cut_incomplete(self) -> None:
        with files.open_to_append(self._path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if file.read(1) not in (b"", b"\n"):
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)

    def damaged(self, error: Exception) -> ConfigError:
        """Return the error of the line that was read last."""
        wrong = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        return ConfigError(
            f"Expected a line of a sweep in line {self._number} of {self._path}, but it is damaged "
            f"({wrong}). Remove the line, or choose another --root."
        )


_STUDY, _STUDY_ATTRIBUTE, _TRIAL, _END, _TRIAL_ATTRIBUTE = 0, 2, 4, 6, 8
_OTHERS: Final = (3, 7, 9)
"""Attributes and values that other tools of Optuna write."""


@final
class _Check:
    """Checks what Optuna would believe or pass over."""

    def __init__(self) -> None:
        self._objectives = 0
        self._ended: list[bool] = []

    def line(self, line: Any) -> None:  # noqa: ANN401
        """Raise if a line cannot follow those that were checked before.

        Raises:
            ValueError: With what is wrong with it.
            ConfigError: If a name in it is none.
        """
        require(isinstance(line, dict), "no mapping")
        operation = line.get("op_code")
        require(type(operation) is int, "no operation")
        require(isinstance(line.get("worker_id"), str), "no `worker_id`")
        require((operation == _STUDY) == (self._objectives == 0), "not of a sweep")
        if operation == _STUDY:
            self._study(line)
        elif operation == _TRIAL:
            self._trial(line)
        elif operation in (_STUDY_ATTRIBUTE, 3):
            require(_is_number(line.get("study_id"), 0), "of another sweep")
            self._attribute(line, operation)
        else:
            require(operation in (_END, _TRIAL_ATTRIBUTE, *_OTHERS), "no such operation")
            trial = line.get("trial_id")
            require(type(trial) is int and 0 <= trial < len(self._ended), "of no run")
            require(not self._ended[trial], "of a run that ended")
            self._end(line) if operation == _END else self._attribute(line, operation)

    def _study(self, line: Line) -> None:
        directions: Any = line.get("directions")
        require(isinstance(directions, list), "no `directions`")
        require(0 < len(directions) < 3 and all(d in (1, 2) for d in directions), "no `directions`")
        require(isinstance(line.get("study_name"), str), "no `study_name`")
        self._objectives = len(directions)

    def _trial(self, line: Line) -> None:
        require(_is_number(line.get("study_id"), 0), "of another sweep")
        require(_is_number(line.get("state"), TrialState.RUNNING), "not of a run that starts")
        require(line.get("value") is None and line.get("values") is None, "a value too early")
        params: Any = line.get("params")
        distributions: Any = line.get("distributions")
        require(isinstance(params, dict) and isinstance(distributions, dict), "no `params`")
        require(set(params) == set(distributions), "`params` without their distributions")
        require(all(_is_finite(value) for value in params.values()), "`params` are no numbers")
        attributes: Any = line.get("user_attrs")
        require(isinstance(attributes, dict) and {"id", "index"} <= set(attributes), "no `id`")
        for key, value in attributes.items():
            check_attribute(key, value)
        require(isinstance(line.get("system_attrs"), dict), "no `system_attrs`")
        self._ended.append(False)

    def _end(self, line: Line) -> None:
        state = line.get("state")
        values: Any = line.get("values")
        require(type(state) is int and state in (1, 2, 3), "no such `state`")
        if state == TrialState.COMPLETE or values is not None:
            require(isinstance(values, list) and len(values) == self._objectives, "no `values`")
            require(all(_is_value(value) for value in values), "`values` are no numbers")
        self._ended[line["trial_id"]] = True

    def _attribute(self, line: Line, operation: int) -> None:
        if operation in _OTHERS:
            return
        given: Any = line.get("user_attr")
        require(isinstance(given, dict) and len(given) == 1, "no attribute")
        ((key, value),) = given.items()
        check_attribute(key, value)


def _is_number(value: Any, number: int) -> bool:  # noqa: ANN401
    return type(value) is int and value == number


def _is_value(value: Any) -> bool:  # noqa: ANN401
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and not math.isnan(value)


def _is_finite(value: Any) -> bool:  # noqa: ANN401
    return _is_value(value) and abs(value) < math.inf


def check_attribute(key: str, value: Any) -> None:  # noqa: ANN401
    """Raise if an attribute of ours has a value that it cannot have; others may have any.

    Raises:
        ValueError: With what is wrong with it.
        ConfigError: If it is no name, but has to be one.
    """
    if key in _CHECKS:
        _CHECKS[key](value)


def require(right: bool, otherwise: str) -> None:
    """Raise unless a condition holds.

    Raises:
        ValueError: With these words.
    """
    if not right:
        raise ValueError(otherwise)


def _check_process(value: Any) -> None:  # noqa: ANN401
    require(isinstance(value, dict), "`process` is no mapping")
    driver, machine, pid = (value.get(key) for key in ("driver", "machine", "pid"))
    for name in (driver, machine):
        require(name is None or isinstance(name, str), "`process` is of no driver")
    is_pid = type(pid) is int and 1 < pid < 2**31
    require(pid is None or is_pid, "`pid` is no process")


def _check_seconds(value: Any) -> None:  # noqa: ANN401
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    require(is_number and 0 <= float(value) < math.inf, "`seconds` is no time")


_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "id": lambda value: check_name("`id`", value, is_file=True),
    "index": lambda value: require(type(value) is int and 0 <= value < 2**31, "no `index`"),
    "process": _check_process,
    "message": lambda value: require(isinstance(value, str), "`message` is no text"),
    "seconds": _check_seconds,
    "identity": lambda value: require(isinstance(value, dict), "`identity` is no mapping"),
}


def storage_of(journal: Path, url: str | None, ends: ExitStack) -> BaseStorage:
    """Return the storage of a study: a journal, or a database.

    Args:
        journal: The file, where there is no database.
        url: Of the database.
        ends: It leaves the database when it closes.

    Raises:
        ConfigError: If the database cannot be opened, or the journal is damaged.
    """
    if url is None:
        return Journal(journal)
    try:
        if url.startswith("redis"):  # Optuna would unpickle what is there
            raise ValueError("Redis is none")
        database = RDBStorage(url)
        ends.callback(database.engine.dispose)
        ends.callback(database.remove_session)
        return get_storage(database)
    except Exception as error:  # of Optuna, of SQLAlchemy and of any driver
        raise ConfigError(
            "Expected --storage to be the URL of a database, such as sqlite:///sweeps.db, but it "
            f"cannot be opened ({in_short(error)})."
        ) from None
