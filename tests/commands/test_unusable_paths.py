"""A path that no file can have is one line, of every command."""

import pytest

from robust.commands.evaluate import evaluate
from robust.commands.sweep import sweep

LONG = "9" * 5000


@pytest.mark.parametrize(
    ("command", "args"),
    [
        (evaluate, [LONG, "--suite=suite.yaml"]),
        (evaluate, ["runs", f"--suite={LONG}"]),
        (evaluate, ["runs", f"--table={LONG}"]),
        (evaluate, [f"{LONG}/a", "--lipschitz"]),
        (evaluate, ["--report", LONG]),
        (evaluate, ["--report", LONG, "-o", LONG]),
        (sweep, [LONG]),
        (sweep, [f"{LONG}/a.yaml"]),
    ],
)
def test_a_name_too_long(command, args, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(args) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "rror" in line]
    assert line.startswith("error: ")
    assert len(line) <= 300


def test_a_loop_of_links(capsys, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert evaluate([str(tmp_path / "loop"), "--lipschitz"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
