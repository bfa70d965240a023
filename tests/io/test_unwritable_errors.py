"""Standard error that cannot be written changes no exit code."""

import errno
import logging
import os
import subprocess
import sys

import pytest

from robust.commands.process import _fixable, run_command
from robust.io import streams
from robust.io.notes import note
from tests.support.tiny import ROOT

FULL = "/dev/full"
pytestmark = pytest.mark.skipif(not os.path.exists(FULL), reason="the system has no full device")


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["evaluate", "nope"], os.devnull),
        (["evaluate", "--bogus"], os.devnull),
        (["report", "nope"], os.devnull),
        (["list", "nope"], os.devnull),
        (["list", "suites"], FULL),
    ],
)
def test_an_error_that_nobody_can_read_is_still_code_2(words, out):
    command = [sys.executable, "-m", "robust", *words]
    with open(out, "w") as output, open(FULL, "w") as full:
        ended = subprocess.run(command, stdout=output, stderr=full, cwd=ROOT, check=False)
    assert ended.returncode == 2


@pytest.mark.parametrize("speak", [streams.say, note])
def test_later_lines_are_lost_as_well(speak, monkeypatch, tmp_path):
    with open(tmp_path / "now", "w") as full:
        descriptor = os.open(FULL, os.O_WRONLY)
        os.dup2(descriptor, full.fileno())
        os.close(descriptor)
        monkeypatch.setattr(sys, "stderr", full)
        speak("one")
        speak("two")
        full.close()
        speak("three")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_for_a_file_is_told(number):
    said = _fixable(OSError(number, os.strerror(number)))
    assert said is not None
    assert said.startswith("Expected room on the disk")


def test_a_log_of_others_on_a_full_disk_prints_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr(logging, "raiseExceptions", True)
    with open(FULL, "w") as full:
        handler = logging.StreamHandler(full)
        record = logging.makeLogRecord({"msg": "a line"})
        assert run_command(lambda: handler.handle(record)) == 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    assert "Traceback" not in capsys.readouterr().err
