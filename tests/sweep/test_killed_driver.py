"""A sweep goes on where a driver of it was killed, by itself or beside others."""

import json
import os
import sys
import time
from pathlib import Path

import pytest
import yaml

import robust.commands.sweep
from robust.commands.sweep import sweep
from robust.tracking import read_metrics
from tests.support.forkserver import FORKSERVER
from tests.support.sweeps import GRID, run, runs, starts, states


def drive(folder, flags):
    """Run the sweep of a folder, in a process that has imported everything."""
    os.chdir(folder)
    robust.commands.sweep._POLL = 0.05
    sys.exit(sweep(["toy.yaml", "--trust-command", *flags]))


def started():
    """Ids of all processes that drivers have started."""
    lines = map(json.loads, Path("runs/toy/study.jsonl").read_text().splitlines())
    changes = [
        line["user_attr"]["process"] for line in lines if "process" in line.get("user_attr", {})
    ]
    return sorted({change["pid"] for change in changes if change["pid"]})


def test_driver_that_is_killed_goes_on_and_repeats_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(robust.commands.sweep, "_POLL", 0.05)
    flags = ["--workers=2", "--", "--seconds=0.5", "--epochs=4"]
    Path("toy.yaml").write_text(yaml.safe_dump(GRID))
    driver = FORKSERVER.Process(target=drive, args=(str(tmp_path), flags))
    driver.start()
    deadline = time.monotonic() + 120
    while len(list(Path("runs/toy").glob("*/checkpoints/last.ckpt"))) < 2:
        assert driver.exitcode is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    driver.kill()
    driver.join()
    orphans = started()
    assert len(orphans) == 2
    assert run(GRID, *flags) == 0
    for pid in orphans:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert states() == ["finished"] * 3
    assert starts() == [2, 2, 1]
    for trial in runs():
        steps = [row["step"] for row in read_metrics(Path("runs/toy") / trial["id"])]
        assert steps == [0, 1, 2, 3]
    assert run(GRID, *flags) == 0
    assert starts() == [2, 2, 1]


def drivers():
    """Ids of the drivers that have started processes."""
    lines = map(json.loads, Path("runs/toy/study.jsonl").read_text().splitlines())
    changed = [line.get("user_attr", {}).get("process") or {} for line in lines]
    return {process["driver"] for process in changed if process.get("pid")}


def test_of_two_drivers_one_is_killed_and_the_other_goes_on_with_its_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    points = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    content = {**GRID, "parameters": {"x": {"values": points}}}
    Path("toy.yaml").write_text(yaml.safe_dump(content))
    flags = ["--workers=1", "--", "--seconds=0.3", "--epochs=3"]
    both = [FORKSERVER.Process(target=drive, args=(str(tmp_path), flags)) for _ in range(2)]
    for driver in both:
        driver.start()
    deadline = time.monotonic() + 240
    # Each has a run, and no more than that.
    while len(list(Path("runs/toy").glob("*/checkpoints/last.ckpt"))) < 2 or len(drivers()) < 2:
        assert [driver.exitcode for driver in both] == [None, None]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    both[0].kill()
    both[0].join()
    both[1].join(240)
    assert both[1].exitcode == 0
    assert states() == ["finished"] * 6
    assert [trial["parameters"]["x"] for trial in runs()] == points
    # One was interrupted by the death of its driver, perhaps none if it had just ended.
    assert sorted(starts())[:5] == [1] * 5
    assert sorted(starts())[5] <= 2
    for trial in runs():
        steps = [row["step"] for row in read_metrics(Path("runs/toy") / trial["id"])]
        assert steps == [0, 1, 2]
    for pid in started():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
