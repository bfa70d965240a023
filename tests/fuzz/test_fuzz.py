"""As many damaged inputs as fit in 30 seconds; `make fuzz N=5000` for more."""

import time

import pytest

from tests.fuzz.runner import Runner, session

SECONDS = 30
"""With the start of the process that forks the commands, and the world of valid inputs."""


@pytest.fixture(scope="module")
def end():
    return time.monotonic() + SECONDS


def test_damaged_inputs(end, zygote, tmp_path, capsys):
    runner = Runner(zygote, tmp_path)
    found = session(runner, 5_000, 0, max(end - time.monotonic(), 5))
    with capsys.disabled():
        print(f"\n{found}")
    for n, failure in enumerate(found.failures.values()):
        kept = tmp_path / f"kept{n}"
        runner.run(failure.input, kept)
        print(f"{failure}\n  in {kept}; python -m tests.fuzz --again '{failure.input}'")
    assert not found.failures, list(found.failures)


@pytest.mark.parametrize(
    ("limits", "why"), [({"seconds": 0.01}, "seconds"), ({"resident": 1}, "memory")]
)
def test_what_takes_too_much_is_stopped(zygote, tmp_path, limits, why):
    outcome = zygote.run("train.py", ["fit", "--help"], tmp_path, **limits)
    assert (outcome.code, outcome.stopped) == (-9, why)


def test_a_command_is_as_a_shell_starts_it(zygote, tmp_path):
    outcome = zygote.run("evaluate.py", ["none", "--suite=none"], tmp_path)
    assert (outcome.code, outcome.stopped) == (2, "")
    assert outcome.err.startswith("error: Expected")
    assert not list(tmp_path.iterdir())
