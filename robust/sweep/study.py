"""A study keeps the state of a sweep, which several drivers may share."""

import contextlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from optuna.exceptions import StorageInternalError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from robust.errors import ConfigError
from robust.io import files
from robust.sweep.heartbeat import Heartbeat, machine
from robust.sweep.journal import Journal, check_attribute, require, storage_of, turn
from robust.sweep.space import Space
from robust.sweep.trials import State, Trial

StorageError = StorageInternalError
"""A database fails while it is used."""
JOURNAL = "study.jsonl"
_EARLIER = "sweep.jsonl"
_DRIVERS = "drivers"
_ELSEWHERE = "storage"
"""A file among those of the drivers that says that the study is not in the journal."""
_RUN = re.compile(r"\d{3,}-[0-9a-f]{6}")
"""Names of runs."""
_STATES: Mapping[State, TrialState] = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_ENDS = {state: name for name, state in _STATES.items()}


@final
class Study:
    """The runs of a sweep, in a folder whose drivers take turns to change them.

    Args:
        folder: The folder of the sweep; made if absent.
        space: Its parameters.
        identity: Settings that identify the sweep, in JSON's types.
        directions: ``minimize`` or ``maximize`` for each value of a run.
        storage: URL of a database; None for a journal in the folder.

    Raises:
        ConfigError: If the folder or storage cannot be written, is damaged, is of a sweep of
            another identity, or lacks runs that are in the folder.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        identity: Mapping[str, Any],
        directions: Sequence[str],
        storage: str | None = None,
    ) -> None:
        self.folder, self._space = folder, space
        self._values: dict[int, dict[str, Any]] = {}
        self._ends = contextlib.ExitStack()
        with _writable(folder):
            self._heartbeat = _heartbeat(folder, storage)
        self._ends.callback(self._heartbeat.close)
        try:
            with _writable(folder), self._alone():
                self._storage = storage_of(folder / JOURNAL, storage, self._ends)
                self._study = self._open(identity, directions)
            self.trials()
        except BaseException:
            self.close()
            raise

    def _open(self, identity: Mapping[str, Any], directions: Sequence[str]) -> int:
        plain, name = json.loads(json.dumps(identity)), self.folder.name
        studies = self._storage.get_all_studies()
        if not isinstance(self._storage, Journal):  # a database may hold many, of many folders
            plain["folder"] = _name_of(self.folder)
            studies = [study for study in studies if study.study_name == name]
        study = studies[0]._study_id if studies else None
        # A driver that was killed may have left it without.
        earlier = (
            None if study is None else self._storage.get_study_user_attrs(study).get("identity")
        )
        if earlier is not None and (message := _difference(self.folder, earlier, plain)):
            raise ConfigError(message)
        self._check_unused(study)
        if study is None:
            ways = [StudyDirection[direction.upper()] for direction in directions]
            study = self._storage.create_new_study(ways, name)
        if earlier is None:
            self._storage.set_study_user_attr(study, "identity", plain)
        return study

    def _check_unused(self, study: int | None) -> None:
        """Raise if the folder has runs that the study lacks, since they would be run twice."""
        trials = [] if study is None else self._storage.get_all_trials(study, deepcopy=False)
        known = [trial.user_attrs.get("id") for trial in trials]
        names = sorted(path.name for path in self.folder.iterdir() if _RUN.fullmatch(path.name))
        if lost := [name for name in names if name not in known]:
            where = JOURNAL if isinstance(self._storage, Journal) else "the study of --storage"
            some = f"{lost[0]} and {len(lost) - 1} more" if len(lost) > 1 else lost[0]
            raise ConfigError(
                f"Expected {where} to have all runs of {self.folder}, but it was lost or cut: it "
                f"lacks {some}. Restore it, delete the folders of these runs, or choose another "
                "--root or another `name` in the file."
            )

    def close(self) -> None:
        """Leave the database, if there is one, and tell the other drivers that this one ends."""
        self._ends.close()

    def beat(self) -> None:
        """Tell the other drivers that this one lives; once a minute at least."""
        self._heartbeat.beat()

    def is_own(self, trial: Trial) -> bool:
        """Return whether this driver runs a trial, or did last."""
        return trial.driver == self._heartbeat.driver

    def trials(self) -> list[Trial]:
        """Return every run so far, in the order of their first start.

        Raises:
            ConfigError: If the storage is damaged.
        """
        found: dict[str, Trial] = {}
        for frozen in self._storage.get_all_trials(self._study, deepcopy=False):
            if "id" in frozen.user_attrs:  # not those of other tools
                trial = self._trial(frozen)
                found[trial.id] = trial  # the last one counts, in the place of the first
        return list(found.values())

    def _trial(self, frozen: FrozenTrial) -> Trial:
        attributes = frozen.user_attrs
        try:
            for key, value in attributes.items():
                check_attribute(key, value)
            if frozen.number not in self._values:
                require("index" in attributes, "no `index`")
                self._values[frozen.number] = self._parameters(frozen)
        except ValueError as error:
            raise ConfigError(
                f"Expected runs of this sweep in the study of {self.folder}, but one is damaged "
                f"({str(error)[:60]}). Choose another --root."
            ) from None
        process = attributes.get("process", {})
        return Trial(
            attributes["id"],
            self._values[frozen.number],
            self._state(frozen, process.get("driver")),
            attributes.get("message", ""),
            attributes.get("seconds", 0.0),
            process.get("pid"),
            attributes["index"],
            frozen._trial_id,
            process.get("driver"),
            process.get("machine"),
        )

    def _parameters(self, frozen: FrozenTrial) -> dict[str, Any]:
        known = self._space.distributions
        require(frozen.distributions == known, "of other parameters")
        for name, part in known.items():
            is_inside = part._contains(part.to_internal_repr(frozen.params[name]))
            require(is_inside, f"{name} is out of range")
        return self._space.values(frozen.params)

    def _state(self, frozen: FrozenTrial, driver: str | None) -> State:
        if frozen.state in _ENDS:
            return _ENDS[frozen.state]
        return "running" if self._heartbeat.is_alive(driver) else "interrupted"

    def earlier(self) -> list[FrozenTrial]:
        """Return the runs with values, and those that run, for a search that learns from them."""
        return [
            create_trial(
                state=TrialState.COMPLETE if frozen.values else TrialState.RUNNING,
                params=frozen.params,
                distributions=frozen.distributions,
                values=frozen.values,
            )
            for frozen in self._storage.get_all_trials(self._study, deepcopy=False)
            if "id" in frozen.user_attrs and (frozen.values or not frozen.state.is_finished())
        ]

    def claim(
        self, choose: Callable[[Sequence[Trial]], Trial | Mapping[str, Any] | None]
    ) -> Trial | None:
        """Take a run for this driver; no other one takes it as long as this one lives.

        Args:
            choose: Returns a run that was interrupted or failed, what Optuna chose for a new one,
                or None.
        """
        with self._alone():
            trials = self.trials()
            chosen = choose(trials)
            if chosen is None:
                return None
            if not isinstance(chosen, Trial):
                index = max((trial.index for trial in trials), default=-1) + 1
                return self._create(f"{index:03}-{secrets.token_hex(3)}", index, chosen, 0.0)
            if chosen.state == "interrupted":
                self._set_process(chosen, self._heartbeat.driver, chosen.pid, chosen.machine)
                return chosen
            # Once more, since Optuna changes no trial that ended.
            params = self._storage.get_trial(chosen.number).params
            return self._create(chosen.id, chosen.index, params, chosen.seconds)

    def _create(self, run: str, index: int, chosen: Mapping[str, Any], seconds: float) -> Trial:
        process = {"driver": self._heartbeat.driver, "machine": machine(), "pid": None}
        attributes = {"id": run, "index": index, "process": process, "seconds": seconds}
        frozen = create_trial(
            state=TrialState.RUNNING,
            params=dict(chosen),
            distributions=self._space.distributions,
            user_attrs=attributes,
        )
        number = self._storage.create_new_trial(self._study, frozen)
        return self._trial(self._storage.get_trial(number))

    def started(self, trial: Trial, pid: int) -> None:
        """Record that the process of a trial was started as ``pid``."""
        with self._alone():
            self._set_process(trial, self._heartbeat.driver, pid, machine())

    def end(
        self,
        trial: Trial,
        state: State,
        message: str = "",
        seconds: float = 0.0,
        values: Sequence[float] | None = None,
    ) -> None:
        """Record that a trial ended, if it is still this driver's.

        Args:
            trial: The trial.
            state: How it ended; one that was interrupted is anybody's.
            message: Its error in one line.
            seconds: Since its process was started.
            values: One for each direction.
        """
        with self._alone():
            frozen = self._storage.get_trial(trial.number)
            if frozen.state.is_finished() or not self.is_own(self._trial(frozen)):
                return
            if seconds:
                total = round(trial.seconds + seconds, 1)
                self._storage.set_trial_user_attr(trial.number, "seconds", total)
            if state == "interrupted":
                self._set_process(trial, None, trial.pid, trial.machine)
                return
            if message:
                self._storage.set_trial_user_attr(trial.number, "message", message)
            self._storage.set_trial_state_values(trial.number, _STATES[state], values)

    def _set_process(
        self, trial: Trial, driver: str | None, pid: int | None, where: str | None
    ) -> None:
        trial.driver, trial.pid, trial.machine = driver, pid, where
        process = {"driver": driver, "machine": where, "pid": pid}
        self._storage.set_trial_user_attr(trial.number, "process", process)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """Keep the other drivers from changing the study meanwhile."""
        return turn(self.folder / _DRIVERS)


def _heartbeat(folder: Path, storage: str | None) -> Heartbeat:
    """Return a heartbeat of this driver, if the sweep can go on from what is in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    journal, elsewhere = folder / JOURNAL, folder / _DRIVERS / _ELSEWHERE
    if os.path.lexists(folder / _EARLIER) and not os.path.lexists(journal):
        raise ConfigError(
            f"Expected a sweep of this version in {folder}, but it holds {_EARLIER}, that of an "
            "earlier one. End it with that version, or choose another --root."
        )
    if storage is not None and os.path.lexists(journal):
        raise ConfigError(
            f"Expected no --storage, since the sweep in {folder} began with its own {JOURNAL}. "
            "Leave it out, or choose another --root."
        )
    if storage is None and os.path.lexists(elsewhere):
        raise ConfigError(
            f"Expected --storage, with which the sweep in {folder} began, but got none. Give the "
            "same URL, or choose another --root."
        )
    files.own_folder(folder / _DRIVERS)
    return Heartbeat(folder / _DRIVERS)


def _name_of(folder: Path) -> str:
    """Return a name of a folder by which a database knows it on every machine."""
    path = folder / _DRIVERS / _ELSEWHERE
    try:
        return files.read(path, 100).decode(errors="replace")
    except FileNotFoundError:
        name = secrets.token_hex(8)
        files.write(path, name)
        return name


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"Expected to write {folder}, but cannot ({error.strerror}). Choose another --root."
        ) from None


def _difference(folder: Path, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    # As text, since no number is equal to `.nan`.
    old, new = ({k: json.dumps(v, sort_keys=True) for k, v in d.items()} for d in (earlier, now))
    differ = (k for k in {*old, *new} if old.get(k, "null") != new.get(k, "null"))
    changed = sorted(f"`{key}`" for key in differ)
    if not changed:
        return ""
    if changed == ["`folder`"]:
        return (
            f"Expected the study {folder.name} of --storage to be that of {folder}, but it is of "
            "another folder. Give its --root, or choose another `name` in the file."
        )
    return (
        f"Expected the sweep that {folder} holds, but {' and '.join(changed)} changed since. "
        "Choose another --root or another `name` in the file."
    )
