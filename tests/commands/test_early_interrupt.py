"""Ctrl-C ends a program with 130 and no traceback, even before it has imported anything of ours."""

import subprocess
import sys

import pytest

from tests.support.tiny import ROOT

_INTERRUPTED = """
import builtins, os, runpy, signal, sys

imported = builtins.__import__

def interrupted(name, *args, **kwargs):
    if name.startswith("robust"):
        os.kill(os.getpid(), signal.SIGINT)
    return imported(name, *args, **kwargs)

builtins.__import__ = interrupted
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize(
    "program", ["train.py", "evaluate.py", "robust/__main__.py", "robust/sweep/__main__.py"]
)
def test_before_the_first_import(program):
    command = [sys.executable, "-c", _INTERRUPTED, str(ROOT / program)]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == 130
    assert ended.stderr == b""
