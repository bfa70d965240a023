"""Standard output that is full or closed: said in one line, never silently taken for success."""

import contextlib
import os
import subprocess
import sys

import pytest

from robust.commands.main import main
from robust.commands.process import run_command
from robust.results.tables import Grid

GRID = Grid("Title", ["run"], [["a"]], [])
PRINTING = ["list suites", "--help", "--version", "train --help", "evaluate --help-all"]
PRINTING += ["measure --help", "draw --help", "report --help", "sweep --help", "dashboard --help"]
full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


def code_of(words):
    try:
        return main(words)
    except SystemExit as end:
        return end.code


@pytest.fixture
def one_line(capsys):
    yield
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@full
@pytest.mark.usefixtures("one_line")
@pytest.mark.parametrize("line", PRINTING)
def test_what_only_prints_on_a_full_disk(line):
    with open("/dev/full", "w", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
        assert code_of(line.split()) == 2


@pytest.mark.usefixtures("one_line")
@pytest.mark.parametrize("line", PRINTING)
def test_what_only_prints_where_output_is_closed(line):
    with contextlib.redirect_stdout(None):
        assert code_of(line.split()) == 2


@full
@pytest.mark.usefixtures("one_line")
def test_a_table_on_a_full_disk():
    with open("/dev/full", "w", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
        assert run_command(GRID.print) == 2


def test_a_table_where_output_is_closed(capsys):
    with contextlib.redirect_stdout(None):
        assert run_command(GRID.print) == 0
    assert capsys.readouterr().err == (
        "note: Standard output is closed, so what was printed there is lost.\n"
    )


def test_nothing_is_said_where_nothing_was_printed(capsys):
    with contextlib.redirect_stdout(None):
        assert run_command(lambda: None) == 0
    assert capsys.readouterr().err == ""


@full
def test_the_process_ends_without_a_traceback():
    command = f"{sys.executable} -m robust list suites > /dev/full"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
