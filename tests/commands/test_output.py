"""What is printed, in any terminal and in none."""

import contextlib
import errno
import io
import os
import subprocess
import sys

import pytest

from robust.commands.evaluate import evaluate
from robust.commands.process import run_command
from robust.commands.report import report
from robust.io.streams import make_usable
from robust.results.cells import Grid
from tests.support.tiny import ROOT

GRID = Grid("Tést", ["run", "robust acc"], [["é \u2026", "1.0\n0.5-1.5"]], ["Note \u2192 é."])


@contextlib.contextmanager
def closed():
    """Python's word for ``>&- 2>&-``."""
    with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
        yield


def test_a_table_in_ascii():
    content = io.BytesIO()
    terminal = io.TextIOWrapper(content, "ascii", write_through=True)
    with contextlib.redirect_stdout(terminal):
        assert run_command(GRID.print) == 0
    text = content.getvalue().decode("ascii")
    for part in ("robust acc", r"\xe9", "---", "1.0"):
        assert part in text


def test_without_any_output():
    with closed():
        assert run_command(GRID.print) == 0
        print("forgotten")
        print("forgotten", file=sys.stderr)
        assert report(["--report", "nowhere"]) == 2


def test_a_table_that_nobody_reads():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as pipe, contextlib.redirect_stdout(pipe):
        assert run_command(GRID.print) == 141


def test_a_page_that_nobody_reads(monkeypatch):
    def unread(*_):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr("robust.commands.report.render", lambda *_, **__: "page")
    monkeypatch.setattr("robust.io.files.write_output", unread)
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as pipe, contextlib.redirect_stdout(pipe):
        assert report(["--report", "x", "-o", "/dev/stdout"]) == 141


def test_letters_that_no_terminal_has(capfdbinary):
    with open(os.dup(1), "w", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
        make_usable()
        print("a\udcffb")
        stream.flush()
    assert capfdbinary.readouterr().out == b"a\\udcffb\n"


@pytest.mark.usefixtures("quiet")
def test_the_output_of_an_evaluation_is_written(trained, suite, tmp_path):
    output = tmp_path / "out.md"
    args = [str(trained["standard"]), "--suite", str(suite), "--output", str(output)]
    with closed():
        assert evaluate([*args, "--limit", "9"]) == 0
    assert "| standard/a |" in output.read_text(encoding="utf-8")


def shell(command, **environment):
    return subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.slow  # as `test_without_any_output`, from the process's start on
@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_report_with_closed_streams(trained, tmp_path, closing):
    page = tmp_path / "page.html"
    done = shell(f'"$PYTHON" evaluate.py --report {trained["standard"]} -o {page} {closing}')
    assert done.returncode == 0, done.stderr
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")


@pytest.mark.slow  # as `test_a_table_in_ascii`, from the process's start on
def test_an_ascii_terminal(trained, suite, tmp_path):
    output = tmp_path / "out.md"
    done = shell(
        f'"$PYTHON" evaluate.py {trained["standard"]} --suite {suite} --limit 9 --output {output}',
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
        WANDB_MODE="disabled",
    )
    assert done.returncode == 0, done.stderr
    assert b"robust acc" in done.stdout
    assert done.stdout.isascii()
    assert output.is_file()


@pytest.mark.slow  # as `test_a_table_that_nobody_reads`, from the process's start on
def test_a_reader_that_has_enough(trained, suite):
    done = shell(
        f'{{ "$PYTHON" evaluate.py {trained["standard"]} --suite {suite} --limit 9;'
        " echo $? >&2; } | true",
        WANDB_MODE="disabled",
    )
    assert done.stderr.split()[-1] == b"141"
    assert b"Traceback" not in done.stderr
