"""Ctrl-C ends a command with 130 and its line also while it builds things, and at its very end."""

import subprocess
import sys

import pytest
import torch

from robust.commands.evaluate import evaluate
from robust.defenses import Standard
from robust.errors import Stopped
from tests.commands.test_interrupt import interrupt
from tests.support import odd_networks
from tests.support.tiny import ROOT

LINE = "Stopped by SIGINT (exit code 130). Run the same command again to go on."


def code_of(command, words):
    try:
        return command([str(word) for word in words])
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize("what", ["suite", "network", "plan"])
def test_while_something_is_built(capsys, trained, suite, quiet, monkeypatch, what):
    """jsonargparse's errors, and what a network raises, are told in other words; this is not."""
    at = {
        "suite": "robust.evaluation.flat.Suite",
        "network": "tests.support.tiny.nn.Linear",
        "plan": "robust.evaluation.suite.plan",
    }[what]
    original = __import__("pydoc").locate(at)

    def interrupted(*args, **kwargs):
        interrupt()
        return original(*args, **kwargs)

    monkeypatch.setattr(at, interrupted)
    assert code_of(evaluate, [trained["standard"], f"--suite={suite}"]) == 130
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == LINE
    assert "error:" not in captured.err


def test_while_a_network_is_tried(quiet):
    class Interrupted(odd_networks.Plain):
        def forward(self, x):
            raise Stopped(130)

    with pytest.raises(Stopped):
        Standard(Interrupted()).check_fit((1, 4, 4), 3, "data")
    assert torch.is_grad_enabled()


_AT = """
import atexit, os, signal, sys
from robust.commands import main, start

class Last:
    # Python takes modules apart when all that was registered has been called.
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGINT):
        kill(pid, number)

WHEN = sys.argv.pop(1)
def work(args=None):
    print("table")
    if WHEN == "exit":
        atexit.register(os.kill, os.getpid(), signal.SIGINT)
    if WHEN == "last":
        sys.last = Last()
    return 0

class Module:
    evaluate = staticmethod(work)

start._imported = lambda name: Module
start.early.check = lambda *_: None
sys.exit(main.main())
"""


@pytest.mark.parametrize(
    ("when", "code", "said"), [("exit", 130, f"{LINE}\n"), ("last", 0, ""), ("never", 0, "")]
)
def test_after_the_command(when, code, said):
    """Without torch: a stub of a command, in a process that ends as `robust` does."""
    words = [sys.executable, "-c", _AT, when, "evaluate", "RUN"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)
    assert done.stdout == "table\n"
