"""A bar in a terminal, a line a minute in a log, nothing elsewhere; and a clean end."""

import io
import sys
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from torch import nn

from robust.tracking.progress import beating
from robust.tracking.progress import displays as module
from robust.tracking.progress.displays import Bar, Cell, Lines, Silent
from robust.tracking.progress.status import Status
from tests.tracking.progress.test_parts import Clock

STATUS = Status(
    "strong: hop_skip_jump, adaptive",
    340,
    1200,
    "attacks on images",
    ("0:01:12 gone", "over 0:02:10 left", "robust so far 83.0 % of 100"),
    "1840 of at most 5000 passes an image",
)


def running():
    return [thread for thread in threading.enumerate() if thread.name == "progress"]


def rendered(width):
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(module.rendered(STATUS))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_fits(width):
    lines = rendered(width)
    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("strong: hop_skip_jump, adaptive ━")
    assert lines[0].rstrip().endswith("340 of 1200 attacks on images")
    assert lines[1].rstrip() == "0:01:12 gone, over 0:02:10 left, robust so far 83.0 % of 100"
    assert lines[2].rstrip() == "1840 of at most 5000 passes an image"


def test_a_log_gets_a_line_a_minute(capsys):
    clock = Clock()
    lines = Lines(clock)
    for second in range(0, 181, 2):
        clock.now = second
        lines.offer(lambda: STATUS)
    assert capsys.readouterr().err.splitlines() == [STATUS.line] * 3


def test_a_source_is_not_asked_in_vain():
    lines = Lines(clock := Clock())
    clock.now = 59
    lines.offer(lambda: pytest.fail("too early"))


def test_a_bar_changes_within_a_block_and_is_gone_afterwards():
    file = io.StringIO()
    seen = []

    def source():
        seen.append(time.monotonic())
        return STATUS

    with Bar(Console(file=file, force_terminal=True, width=80)) as bar, bar.of(source):
        time.sleep(3.5)  # as in an attack that reports nothing
        assert running()
    assert len(seen) >= 2
    assert max(b - a for a, b in pairwise(seen)) < 2
    assert "hop_skip_jump" in file.getvalue()
    assert file.getvalue().rstrip("\r\n").endswith(("\x1b[2K", "\x1b[?25h"))
    assert not running()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_error_leaves_the_terminal_clean(error):
    file = io.StringIO()
    stderr = sys.stderr
    console = Console(file=file, force_terminal=True, width=80)

    def work(bar):
        bar.show(STATUS)
        raise error

    with pytest.raises(error), Bar(console) as bar, bar.of(lambda: STATUS):
        work(bar)
    assert not running()
    assert sys.stderr is stderr
    assert file.getvalue().rfind("\x1b[?25h") > file.getvalue().rfind("\x1b[?25l")  # the cursor


def test_a_terminal_that_is_gone_ends_the_thread_alone(monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.01)

    class Gone(io.StringIO):
        def write(self, text):
            if threading.current_thread().name == "progress":
                raise OSError
            return len(text)

    with Bar(Console(file=Gone(), force_terminal=True)) as bar, bar.of(lambda: STATUS):
        time.sleep(0.1)


def test_the_outer_source_comes_back():
    silent = Silent()
    outer, inner = (lambda: STATUS), (lambda: STATUS)
    with silent.of(outer):
        with silent.of(inner):
            assert silent._source is inner
        assert silent._source is outer


def test_a_notebook_changes_one_line_in_its_place(monkeypatch):
    shown, updated = [], []

    def display(data, *, raw, display_id):
        shown.append(data)
        return SimpleNamespace(update=lambda data, raw: updated.append(data))

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    with Cell() as cell, cell.of(lambda: STATUS):
        cell.show(STATUS)
    assert shown == [{"text/plain": STATUS.line}]
    assert updated[-1] == {"text/plain": STATUS.line}


def test_each_forward_pass_beats():
    network, beats = nn.Linear(2, 2), []
    with beating([network, network], beats.append):
        network(torch.zeros(5, 2))
    network(torch.zeros(7, 2))
    assert beats == [5]
