"""A sweep goes on where its driver was killed."""

import json
import os
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
    sweep(["toy.yaml", "--trust-command", *flags])


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
    (journal,) = Path("runs/toy").glob("sweep.jsonl")
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    orphans = [event["pid"] for event in events if event["event"] == "pid"]
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
