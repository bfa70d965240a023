"""Two trainings never write into one folder at a time; a clock that jumps back changes nothing."""

import fcntl
import os
import time

import pytest

from robust.commands.train import train
from robust.io import files
from robust.tracking import Run, run_lock
from tests.support.tiny import NO_ATTACKS, arguments


@pytest.fixture
def at_it(trained, monkeypatch):
    """Another process trains the run."""
    monkeypatch.setattr(run_lock, "_PATIENCE", 0.2)
    folder = trained["standard"]
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    yield folder
    os.close(other)


def test_a_second_training_of_a_run_is_refused(capsys, npz, suite, quiet, at_it):
    before = {path: path.read_bytes() for path in at_it.rglob("*") if path.is_file()}
    words = arguments(npz, at_it.parents[1], suite, "Standard", epochs=9)
    for more in ([], ["--run.resume=auto"]):
        assert train([*words, "--run.id=a", NO_ATTACKS, *more]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("error: Expected one process to train the run ")
        assert "choose another --run.id" in line
    assert {path: path.read_bytes() for path in at_it.rglob("*") if path.is_file()} == before


def test_a_run_is_free_again_when_its_training_has_ended(npz, suite, tmp_path, quiet):
    words = arguments(npz, tmp_path / "runs", suite, "Standard", epochs=1)
    assert train([*words, NO_ATTACKS, "--run.id=a"]) == 0
    other = os.open(tmp_path / "runs/standard/a", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_it_waits_for_one_that_is_about_to_end(tmp_path, monkeypatch):
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    monkeypatch.setattr(time, "sleep", lambda seconds: os.close(other))
    run_lock.hold(tmp_path)
    run_lock.release()


def test_a_clock_that_jumps_back_repeats_no_id(monkeypatch, quiet):
    monkeypatch.setattr(time, "strftime", lambda form: "19700101-000000")
    assert len({Run().settled("mlp").id for _ in range(3)}) == 3


@pytest.mark.parametrize("seconds", [-1e6, 1e6])
def test_a_clock_that_jumps_costs_no_file(tmp_path, monkeypatch, seconds):
    """What another process writes at the moment is locked, however old it seems."""
    now, path = time.time(), tmp_path / "records.csv"
    beside = tmp_path / ".records.csv.abc.new"
    beside.write_text("half")
    other = os.open(beside, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    files.write(path, "complete")
    assert (path.read_text(), beside.read_text()) == ("complete", "half")
    os.close(other)


def test_a_folder_that_cannot_be_written_has_no_tracker(capsys, trained, monkeypatch):
    from robust.loading.trained_run import TrainedRun

    run = TrainedRun.load(trained["standard"])
    assert len(run.loggers("tiny")) == 1
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert run.loggers("tiny") == []
    assert "cannot be written, so W&B gets nothing of this." in capsys.readouterr().err
