"""A wrong flag is one line of every command, without the usage before it."""

import pytest

from robust.commands.evaluate import evaluate
from robust.commands.sweep import sweep


@pytest.mark.parametrize(
    ("command", "args"),
    [
        (evaluate, ["runs", "--imges=3", "--suite=a.yaml"]),
        (evaluate, ["runs", "--suite=a.yaml", "--images=three"]),
        (evaluate, ["runs", "--suite=a.yaml", "--view=" + "x" * 1000]),
        (evaluate, ["--report", "runs", "--prt=3"]),
        (evaluate, ["--report", "runs", "--port=70000"]),
        (sweep, ["a.yaml", "--workers=0"]),
        (sweep, ["a.yaml", "b.yaml"]),
        (sweep, []),
    ],
)
def test_wrong_flags(command, args, capsys):
    with pytest.raises(SystemExit) as stop:
        command(args)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert len(line) <= 300
