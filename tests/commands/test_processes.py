"""What a command prints as a process of its own, and its exit code."""

import os
import re
import subprocess
import sys

import pytest

from tests.support.cluster import alone
from tests.support.tiny import ROOT, arguments


@pytest.mark.parametrize(
    ("script", "args", "message"),
    [
        ("train.py", ["fit", "--trainer.max_epocs=3"], "Did you mean --trainer.max_epochs"),
        ("evaluate.py", ["nowhere", "--suite", "configs/suites/quick.yaml"], "no such folder"),
    ],
)
def test_exit_code_of_the_process(script, args, message, tmp_path):
    ended = alone([script, *args], tmp_path).finish()
    assert ended.codes == [2]
    assert re.fullmatch(rf"error: .*{message}.*\n", ended.text)


def started(words, _):
    """What a process of its own says while it imports, too."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr


def forked(words, folder):
    ended = alone(words, folder, WANDB_MODE="offline").finish()
    assert ended.codes == [0], ended.text
    return ended.errors


@pytest.mark.parametrize("start", [forked, pytest.param(started, marks=pytest.mark.slow)])
def test_only_noise_that_one_can_act_upon(npz, suite, tmp_path, start):
    args = [*arguments(npz, tmp_path / "runs", suite), "--trainer.max_steps=2"]
    told = [line for line in start(["train.py", *args], tmp_path).splitlines() if line]
    known = ("GPU available: True", "W&B records this run", "Upload: ", "`Trainer.fit` stopped")
    assert [line for line in told if not line.startswith(known)] == []
