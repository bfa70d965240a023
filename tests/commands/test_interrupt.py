"""Ctrl-C ends a command with exit code 130 and the line how to go on; a second one at once."""

import os
import signal
import subprocess
import sys
import time

import pytest

from robust.commands.evaluate import evaluate
from robust.commands.process import run_command
from robust.tracking import interrupts
from tests.support.tiny import NO_ATTACKS, ROOT, arguments
from tests.tracking.test_preemption import end, state, told

pytestmark = pytest.mark.usefixtures("quiet")


def interrupt(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)  # Python handles a signal between two of its steps


@pytest.fixture
def at_once(monkeypatch):
    """What a second signal does, which would end the tests."""

    def leave(code):
        raise SystemExit(f"at once with {code}")

    monkeypatch.setattr(interrupts.os, "_exit", leave)


def test_a_training_goes_on(npz, suite, tmp_path, capsys):
    args = [*arguments(npz, tmp_path, suite, epochs=3), "--run.resume=auto", NO_ATTACKS]
    folder = tmp_path / "squeezed"
    assert end([*args, "--run.id=a", told(6, "SIGINT")]) == 130
    said = capsys.readouterr().err
    line = "Stopped by SIGINT after step 6 (exit code 130). Run the same command again to go on"
    assert said.count("Stopped by") == 1
    assert f"{line}, with --run.id=a --run.resume=auto." in said
    assert (folder / "a" / "checkpoints" / "preempted.ckpt").is_file()
    assert end([*args, "--run.id=a"]) == 0
    assert state(folder / "a")["global_step"] == 12


def test_the_test_after_a_training_goes_on(npz, suite, tmp_path, capsys, monkeypatch):
    """In the middle of an attack: the training is over, and what is on record stays."""
    args = [*arguments(npz, tmp_path, suite, epochs=1), "--run.id=a", "--run.resume=auto"]
    with monkeypatch.context() as patched:
        patched.setattr("robust.evaluation.callback.log_examples", interrupt)
        assert end(args) == 130
    said = capsys.readouterr().err
    assert "Stopped by SIGINT (exit code 130). Run the same command again to go on, with" in said
    (part,) = (tmp_path / "squeezed" / "a" / "records").glob("*.part0.csv")
    assert len(part.read_text().splitlines()) == 1 + 8  # a block after its checksum
    assert end(args) == 0
    assert len(list((tmp_path / "squeezed" / "a" / "records").glob("*.csv"))) == 1


def test_after_the_trainer_has_ended(npz, suite, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("robust.commands.train.log_run", interrupt)
    args = [*arguments(npz, tmp_path, suite, epochs=1), "--run.id=a", NO_ATTACKS]
    assert end(args) == 130
    assert "with --run.id=a --run.resume=auto" in capsys.readouterr().err


def test_an_evaluation_goes_on(trained, suite, tmp_path, capsys, monkeypatch):
    args = [str(trained["standard"]), "--suite", str(suite), "--limit=9"]
    monkeypatch.setattr("robust.evaluation.callback.summarize", interrupt)
    with pytest.raises(SystemExit) as stop:
        evaluate(args)
    assert stop.value.code == 130
    assert "Run the same command again to go on." in capsys.readouterr().err


def test_handlers_are_put_back(npz, suite, tmp_path):
    numbers = (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    assert end([*arguments(npz, tmp_path, suite), told(3, "SIGINT")]) == 130
    assert [signal.getsignal(number) for number in numbers] == before
    assert end([*arguments(npz, tmp_path, suite), "--trainer.devices=-2"]) == 2
    assert [signal.getsignal(number) for number in numbers] == before


def test_before_a_trainer_works(capsys):
    with pytest.raises(SystemExit) as stop:
        run_command(interrupt)
    assert stop.value.code == 130
    assert "Stopped by SIGINT (exit code 130)." in capsys.readouterr().err


def test_a_second_one_ends_it_at_once(capsys, at_once):
    def stubborn():
        try:
            interrupt()
        finally:
            interrupt()

    with pytest.raises(SystemExit, match="at once with 130"):
        run_command(stubborn)
    assert capsys.readouterr().err.count("Stopped by") == 1


def test_a_second_one_in_a_training(npz, suite, tmp_path, at_once, monkeypatch):
    monkeypatch.setattr("robust.tracking.preemption.Preemption._anyone_told", interrupt)
    args = [*arguments(npz, tmp_path, suite), "--run.id=a", told(3, "SIGINT")]
    assert end(args) == "at once with 130"


def test_torchrun_hands_a_first_one_on(monkeypatch):
    def twice():
        return interrupts.which_interrupt(), interrupts.which_interrupt()

    with interrupts.interruptible():
        assert twice() == ("first", "second")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    with interrupts.interruptible():
        assert twice() == ("first", "echo")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1, 20])
def test_the_process(npz, suite, tmp_path, seconds):
    """While it imports, and while it trains."""
    args = [*arguments(npz, tmp_path, suite, epochs=1000), "--run.id=a"]
    args += ["--model.network.seconds=0.2"]
    process = subprocess.Popen(
        [sys.executable, "train.py", *args], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in said
