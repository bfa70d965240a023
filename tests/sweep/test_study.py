"""A study of several drivers: each run is one driver's, and what the dead leave is anybody's."""

import errno
import json
import os
import re
import socket
import stat
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import robust.sweep.heartbeat
from robust.errors import ConfigError
from robust.sweep.heartbeat import Heartbeat
from robust.sweep.journal import turn
from robust.sweep.space import Space
from robust.sweep.study import Study

SPACE = Space({"x": {"values": [0.1, None, 0.2]}, "y": {"min": 0.0, "max": 1.0}}, is_grid=False)
POINT = {"x": 1, "y": 0.5}


@pytest.fixture(autouse=True)
def without_disk(monkeypatch):
    """A busy disk would take longer than all of these tests."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def opened(tmp_path):
    """Opens studies of one folder, each of another driver."""
    studies = []

    def opener(identity=None, ways=("maximize",), **kwargs):
        folder = tmp_path / "runs" / "toy"
        studies.append(Study(folder, SPACE, identity or {"a": 1}, ways, **kwargs))
        return studies[-1]

    yield opener
    for study in studies:
        study.close()


def new(_):
    return POINT


def left(trials):
    return next((trial for trial in trials if trial.state == "interrupted"), None)


def die(study):
    """End a driver as `kill -9` does: its lock is gone, and its file stays."""
    os.close(study._heartbeat._descriptor)
    study._heartbeat._descriptor = os.open(os.devnull, os.O_RDONLY)


def test_a_run_and_its_end(opened):
    study = opened()
    trial = study.claim(new)
    assert trial.id.startswith("000-")
    assert trial.parameters == {"x": None, "y": 0.5}
    assert trial.state == "running"
    study.started(trial, 4_000_000)
    study.end(trial, "finished", seconds=2.04, values=[0.6])
    second = study.claim(new)
    study.end(second, "failed", "why", 1.0)
    third = study.claim(new)
    study.end(third, "stopped", "by hyperband", 3.0, [0.4])
    for other in (study, opened()):
        states = [(t.index, t.state, t.message, t.seconds) for t in other.trials()]
        assert states == [
            (0, "finished", "", 2.0),
            (1, "failed", "why", 1.0),
            (2, "stopped", "by hyperband", 3.0),
        ]
        assert [trial.values for trial in other.earlier()] == [[0.6], [0.4]]


def test_of_two_drivers_one_has_a_run(opened):
    one, two = opened(), opened()
    first, second = one.claim(new), two.claim(new)
    assert (first.index, second.index) == (0, 1)
    for study in (one, two):
        assert [trial.state for trial in study.trials()] == ["running", "running"]
        assert study.claim(left) is None
    assert one.is_own(first)
    assert not one.is_own(two.trials()[1])


def test_what_a_dead_driver_left_is_claimed_once(opened):
    one, two, three = opened(), opened(), opened()
    trial = one.claim(new)
    one.started(trial, 4_000_000)
    assert two.claim(left) is None
    die(one)
    claimed = two.claim(left)
    assert (claimed.id, claimed.pid, claimed.parameters) == (trial.id, 4_000_000, trial.parameters)
    assert three.claim(left) is None
    assert [trial.state for trial in three.trials()] == ["running"]
    # The one who was taken for dead ends nothing any more.
    one.end(trial, "finished", values=[0.1])
    assert two.trials()[0].state == "running"
    assert not one.is_own(one.trials()[0])


def test_an_interrupted_run_is_anybodys_at_once(opened):
    one, two = opened(), opened()
    trial = one.claim(new)
    one.started(trial, 4_000_000)
    one.end(trial, "interrupted", seconds=1.0)
    assert two.trials()[0].state == "interrupted"
    assert two.claim(left).seconds == 1.0


def test_a_failed_run_once_more(opened):
    one, two = opened(), opened()
    trial = one.claim(new)
    one.end(trial, "failed", "why", 2.0)
    again = two.claim(lambda trials: trials[0])
    assert (again.id, again.index, again.state, again.seconds) == (trial.id, 0, "running", 2.0)
    two.end(again, "finished", "", 1.0, [0.5])
    (found,) = one.trials()
    assert (found.id, found.state, found.seconds) == (trial.id, "finished", 3.0)
    assert one.claim(new).index == 1


def test_a_driver_of_another_machine_is_dead_when_its_beats_end(tmp_path, monkeypatch):
    other, here = Heartbeat(tmp_path), Heartbeat(tmp_path)
    os.pwrite(other._descriptor, b"another:1            1\n", 0)
    now = [time.monotonic()]
    monkeypatch.setattr(robust.sweep.heartbeat.time, "monotonic", lambda: now[0])
    assert here.is_alive(other.driver)
    now[0] += 59
    assert here.is_alive(other.driver)
    os.pwrite(other._descriptor, b"another:1            2\n", 0)
    assert here.is_alive(other.driver)
    now[0] += 59
    assert here.is_alive(other.driver)
    now[0] += 2
    assert not here.is_alive(other.driver)
    assert not here.is_alive("../" + other.driver)
    assert not here.is_alive(None)
    before = (tmp_path / here.driver).read_bytes()
    here.beat()
    assert (tmp_path / here.driver).read_bytes() != before
    other.close()
    here.close()
    assert not list(tmp_path.iterdir())


def test_optuna_reads_the_journal(opened, tmp_path):
    study = opened()
    study.end(study.claim(new), "finished", values=[0.6])
    path = str(tmp_path / "runs" / "toy" / "study.jsonl")
    loaded = optuna.load_study(study_name="toy", storage=JournalStorage(JournalFileBackend(path)))
    assert loaded.best_value == 0.6
    assert loaded.best_params == POINT
    assert "__reduce__" not in Path(path).read_text()


def test_a_database(opened, tmp_path):
    url = f"sqlite:///{tmp_path}/sweeps.db"
    one, two = opened(storage=url), opened(storage=url)
    trial = one.claim(new)
    one.started(trial, 4_000_000)
    two.end(two.claim(new), "finished", values=[0.5])
    die(one)
    assert two.claim(left).id == trial.id
    assert [t.state for t in two.trials()] == ["running", "finished"]
    assert not (tmp_path / "runs" / "toy" / "study.jsonl").exists()
    with pytest.raises(ConfigError, match=r"Expected --storage, with which"):
        opened()
    with pytest.raises(ConfigError, match=r"Expected the study toy .* is of another folder"):
        Study(tmp_path / "other" / "toy", SPACE, {"a": 1}, ["maximize"], url)


@pytest.mark.parametrize(
    "url", ["nonsense", "redis://localhost", "sqlite:////nowhere/a.db", "mysql+none://u:secret@h/d"]
)
def test_a_database_that_is_none(opened, url):
    with pytest.raises(ConfigError, match=r"--storage to be the URL of a database") as error:
        opened(storage=url)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) <= 300
    assert "secret" not in str(error.value)


def test_a_journal_and_then_a_database(opened, tmp_path):
    opened().claim(new)
    with pytest.raises(ConfigError, match=r"Expected no --storage"):
        opened(storage=f"sqlite:///{tmp_path}/sweeps.db")


def test_a_sweep_of_an_earlier_version_is_refused_and_stays(opened, tmp_path):
    folder = tmp_path / "runs" / "toy"
    folder.mkdir(parents=True)
    (folder / "sweep.jsonl").write_text('{"event": "sweep", "identity": {}}\n')
    with pytest.raises(ConfigError, match=r"holds sweep\.jsonl, that of an earlier one\. End it"):
        opened()
    assert [path.name for path in folder.iterdir()] == ["sweep.jsonl"]


def test_another_sweep(opened):
    opened({"a": 1, "b": [float("nan")], "c": None}).close()
    assert opened({"a": 1, "b": [float("nan")], "c": None}).trials() == []
    with pytest.raises(ConfigError, match=r"but `a` and `b` changed since"):
        opened({"a": 2, "b": [1], "c": None})


def lines_of(opened, tmp_path):
    study = opened()
    trial = study.claim(new)
    study.started(trial, 4_000_000)
    study.end(trial, "finished", seconds=2.0, values=[0.6])
    study.close()
    return (tmp_path / "runs" / "toy" / "study.jsonl").read_bytes().splitlines()


@pytest.fixture
def lines(opened, tmp_path):
    return lines_of(opened, tmp_path)


def written(tmp_path, lines):
    path = tmp_path / "runs" / "toy" / "study.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.mark.parametrize("blank", [b"", b"   ", b"\r", b"\t"])
def test_blank_lines_count_for_nothing(opened, tmp_path, lines, blank):
    written(tmp_path, [blank, *lines[:3], blank, blank, *lines[3:], blank])
    study = opened()
    assert [(t.state, t.seconds, t.pid) for t in study.trials()] == [("finished", 2.0, 4_000_000)]
    assert study.claim(new).index == 1
    assert len(opened().trials()) == 2


def test_half_a_line_of_a_killed_driver_is_cut_off(opened, tmp_path, lines):
    path = written(tmp_path, lines)
    with path.open("a") as file:
        file.write('{"op_code": 8, "trial_')
    study = opened()
    assert [trial.state for trial in study.trials()] == ["finished"]
    study.end(study.claim(new), "failed", "why", 3.0)
    study.close()
    assert [trial.state for trial in opened().trials()] == ["finished", "failed"]


CHANGES = {
    0: [
        *({"directions": []}, {"directions": [3]}, {"directions": None}, {"study_name": None}),
        *({"op_code": 1}, {"op_code": True}, {"op_code": "0"}, {"worker_id": 5}),
    ],
    1: [
        *({"study_id": 1}, {"study_id": True}, {"user_attr": None}, {"user_attr": {}}),
        *({"user_attr": {"identity": []}}, {"op_code": 0}, {"op_code": 1}, {"op_code": 99}),
    ],
    2: [
        *({"study_id": 5}, {"state": 1}, {"state": None}, {"value": 0.5}, {"values": [1]}),
        *({"params": None}, {"params": {}}, {"params": {"x": 7, "y": 0.5}}, {"op_code": 6}),
        *({"params": {"x": 1, "y": 2.0}}, {"params": {"x": 1, "y": "0.5"}}),
        *({"params": {"x": 1, "y": float("nan")}}, {"params": {"x": 1, "y": True}}),
        *({"distributions": {}}, {"distributions": {"x": "{}", "y": "{}"}}, {"user_attrs": {}}),
        *({"datetime_start": "now"}, {"datetime_start": 5}, {"distributions": {"x": 1, "y": 2}}),
        {"system_attrs": None},
    ],
    3: [
        *({"trial_id": 1}, {"trial_id": -1}, {"trial_id": None}, {"trial_id": True}),
        *({"user_attr": {"process": odd}} for odd in (None, 5, {"pid": 1}, {"pid": True})),
        *({"user_attr": {"process": {"driver": 5}}}, {"user_attr": {"seconds": -1}}),
        *({"user_attr": {"id": name}} for name in (5, None, "../../a", "", "a\nb", "x" * 300)),
        *({"user_attr": {"seconds": odd}} for odd in (None, "1", float("nan"), 1e999, True)),
        *({"user_attr": {"message": 5}}, {"user_attr": {"index": -1}}),
        {"user_attr": {"index": 0.5}},
    ],
    5: [
        *({"state": 0}, {"state": 4}, {"state": None}, {"state": []}, {"values": None}),
        *({"values": []}, {"values": [float("nan")]}, {"values": ["1"]}, {"values": [1, 2]}),
        *({"datetime_complete": None}, {"trial_id": 7}),
    ],
}


@pytest.mark.parametrize(
    ("number", "change"), [(n, change) for n, kind in CHANGES.items() for change in kind]
)
def test_a_line_of_odd_values(opened, tmp_path, lines, number, change):
    lines[number] = json.dumps({**json.loads(lines[number]), **change}).encode()
    refused(opened, tmp_path, lines, number + 1 if "params" not in change else None)


def test_a_line_after_the_end(opened, tmp_path, lines):
    refused(opened, tmp_path, [*lines, lines[5]], 7)
    refused(opened, tmp_path, [*lines, lines[3]], 7)
    refused(opened, tmp_path, [*lines, lines[0]], 7)


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize(
    "line",
    [b"garbage", b"null", b"[]", b"5", b"{}", b"\xff\xfe", b"{", b"9" * 5_000, b"[" * 9_999, b"\0"],
)
def test_a_line_that_is_none(opened, tmp_path, lines, number, line):
    lines[number] = line
    refused(opened, tmp_path, lines, number + 1)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding(opened, tmp_path, lines, encoding):
    refused(opened, tmp_path, [b"\n".join(lines).decode().encode(encoding)], 1)


def refused(opened, tmp_path, lines, number):
    path = written(tmp_path, lines)
    where = rf"line {number} of .*study\.jsonl" if number else "line 3 of|one is damaged"
    for _ in range(2):  # nobody is kept from it by the one who gave up
        with pytest.raises(ConfigError, match=where) as error:
            opened()
        assert len(str(error.value).replace(str(tmp_path), "")) < 300
        assert "\n" not in str(error.value)
        assert path.read_bytes() == b"\n".join(lines) + b"\n"
    assert not list((tmp_path / "runs" / "toy" / "drivers").iterdir())


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_journal_that_is_no_file(opened, tmp_path, kind):
    path = tmp_path / "runs" / "toy" / "study.jsonl"
    path.parent.mkdir(parents=True)
    (tmp_path / "precious").write_text("a")
    if kind == "link":
        path.symlink_to(tmp_path / "precious")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    before = stat.S_IFMT(path.lstat().st_mode)
    with pytest.raises(ConfigError, match=r"study\.jsonl to be a file, but got"):
        opened()
    assert stat.S_IFMT(path.lstat().st_mode) == before
    assert (tmp_path / "precious").read_text() == "a"


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_folder_of_drivers_that_is_none(opened, tmp_path, kind):
    path = tmp_path / "runs" / "toy" / "drivers"
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path) if kind == "link" else path.touch()
    with pytest.raises(ConfigError, match=r"drivers to be a folder|Expected to write"):
        opened()


def test_a_turn_that_a_killed_driver_left_ends(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robust.sweep.journal._LONGEST_TURN", 0.1)
    folder = Path("runs", "toy")
    Study(folder, SPACE, {"a": 1}, ["maximize"]).close()
    (folder / "drivers.lock").touch()
    Study(folder, SPACE, {"a": 1}, ["maximize"]).close()
    assert not (folder / "drivers.lock").exists()


@pytest.mark.parametrize("kind", ["folder", "link to nothing", "link to a file", "pipe", "socket"])
@pytest.mark.parametrize("name", ["drivers.lock", "study.jsonl.lock"])
def test_a_lock_that_is_no_file_is_refused(opened, tmp_path, monkeypatch, kind, name):
    monkeypatch.setattr("robust.sweep.journal._LONGEST_LINK", 0.05)
    path = tmp_path / "runs" / "toy" / name
    path.parent.mkdir(parents=True)
    monkeypatch.chdir(path.parent)  # addresses of sockets are short
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(name)
    else:
        path.symlink_to(__file__ if kind == "link to a file" else "nowhere")
    before = path.lstat()
    with pytest.raises(ConfigError, match=rf"{re.escape(name)} to be a file, but got") as error:
        opened()
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("Remove it.")
    assert path.lstat() == before
    assert not (path.parent / "study.jsonl").exists()


def test_a_link_that_another_tool_has_for_a_moment_is_waited_for(tmp_path):
    path = tmp_path / "study.jsonl"
    lock = tmp_path / "study.jsonl.lock"
    lock.symlink_to(path)  # as the default lock of Optuna's journals
    timer = threading.Timer(0.2, lock.unlink)
    timer.start()
    with turn(path):
        assert not lock.is_symlink()
    timer.join()
    assert not lock.exists()


def forbidden(monkeypatch, function, name):
    """Forbid what to root is never forbidden."""
    allowed = getattr(os, function)

    def refuse(path, *args, **kwargs):
        if str(path).endswith(name):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return allowed(path, *args, **kwargs)

    monkeypatch.setattr(os, function, refuse)


def test_a_lock_that_cannot_be_made(opened, monkeypatch):
    forbidden(monkeypatch, "open", "drivers.lock")
    with pytest.raises(ConfigError, match=r"Expected to write .*toy, but cannot \(Permission den"):
        opened()


def test_a_lock_that_was_left_and_cannot_be_removed(opened, tmp_path, monkeypatch):
    monkeypatch.setattr("robust.sweep.journal._LONGEST_TURN", 0.05)
    (tmp_path / "runs" / "toy").mkdir(parents=True)
    (tmp_path / "runs" / "toy" / "drivers.lock").touch()
    forbidden(monkeypatch, "unlink", "drivers.lock")
    with pytest.raises(ConfigError, match=r"Expected to write .*toy, but cannot \(Permission den"):
        opened()


def test_a_turn_that_took_too_long_leaves_the_lock_of_the_next_one(tmp_path):
    lock = tmp_path / "a.lock"
    with turn(tmp_path / "a"):
        lock.unlink()
        lock.touch()
        os.utime(lock, (1, 1))
    assert lock.exists()


@pytest.mark.parametrize("left", ["nothing", "an empty file", "a study without runs"])
def test_runs_whose_study_is_lost_are_not_run_again(opened, tmp_path, left):
    study = opened()
    trial = study.claim(new)
    study.end(trial, "finished", values=[0.6])
    study.close()
    folder = tmp_path / "runs" / "toy"
    (folder / trial.id).mkdir()
    journal = folder / "study.jsonl"
    if left == "nothing":
        journal.unlink()
    else:
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[: 0 if left == "an empty file" else 2]))
    before = {path: path.stat().st_size for path in folder.iterdir()}
    match = rf"study\.jsonl to have all runs .* it lacks {trial.id}\. Restore it, delete .*--root"
    with pytest.raises(ConfigError, match=match) as error:
        opened()
    assert "\n" not in str(error.value)
    assert {path: path.stat().st_size for path in folder.iterdir()} == before
    (folder / trial.id).rmdir()
    assert opened().claim(new).index == 0


def test_runs_whose_database_is_another_one(opened, tmp_path):
    study = opened(storage=f"sqlite:///{tmp_path}/sweeps.db")
    for _ in range(3):
        trial = study.claim(new)
        (study.folder / trial.id).mkdir()
        study.end(trial, "finished", values=[0.6])
    study.close()
    with pytest.raises(ConfigError, match=r"the study of --storage to have .* 000-\w+ and 2 more"):
        opened(storage=f"sqlite:///{tmp_path}/empty.db")
    assert len(opened(storage=f"sqlite:///{tmp_path}/sweeps.db").trials()) == 3


def test_what_others_keep_in_the_folder_is_no_run(opened, tmp_path):
    for name in ("squeezed", "first", "000-last", "8x2k9d"):
        (tmp_path / "runs" / "toy" / name).mkdir(parents=True)
    assert opened().claim(new).index == 0


def test_runs_whose_folders_are_gone_stay_ended(opened):
    one = opened()
    one.end(one.claim(new), "finished", values=[0.6])  # nobody made a folder
    one.end(one.claim(new), "interrupted")
    two = opened()
    assert [trial.state for trial in two.trials()] == ["finished", "interrupted"]
    assert [trial.values for trial in two.earlier()] == [[0.6], None]
