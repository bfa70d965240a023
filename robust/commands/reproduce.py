"""`robust reproduce`: the commands of a paper's `reproduce.sh`, run in one process."""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from robust.commands.options.reproduce import Plan, parse, plan
from robust.errors import ConfigError

Run = Callable[[list[str]], int]


def reproduce(args: Sequence[str], run: Run) -> int:
    """Run a paper's commands one after the other, or print them.

    Args:
        args: What follows `robust reproduce`.
        run: Runs `robust` with arguments, and returns the exit code.

    Returns:
        The exit code of the first command that fails, else 0.

    Raises:
        ConfigError: If the paper, part, rows or scale are not there.
    """
    options = parse(args)
    made = plan(options)
    if options.rows and not any("evaluate" in step for step in made.steps):
        raise ConfigError(
            f"Expected rows that scale {options.scale} attacks, but got "
            f"{' '.join(options.rows)!r:.60}. Take a larger scale."
        )
    if options.dry_run:
        print("\n".join([f"# {_summary(options, made)}", *made.lines]))
        return 0
    _say(_summary(options, made))
    return _perform(made, run)


def _perform(made: Plan, run: Run) -> int:
    number, began = 0, time.monotonic()
    for line in made.lines:
        words = [] if line.startswith("#") else shlex.split(line)
        if not words:
            _say(line.lstrip("# "))
        elif words[0] == "touch":
            Path(words[1]).touch()
        else:
            number += 1
            gone = f", {(time.monotonic() - began) / 60:.0f} minutes gone" if number > 1 else ""
            _say(f"[{number} of {_commands(made)}{gone}] {line}")
            code = run(words[1:])
            if code:
                _say(f"Stopped at step {number} with exit code {code}. The same command goes on.")
                return code
    return 0


def _summary(options: argparse.Namespace, made: Plan) -> str:
    minutes = made.hours * 60
    time = f"{minutes:.0f} minutes" if minutes < 100 else f"{made.hours:.0f} hours"
    machine = "a GPU" if options.scale == "paper" else "two cores"
    more = " Its numbers mean nothing." if options.scale == "smoke" else ""
    return (
        f"{options.paper} at scale {options.scale}: {_commands(made)} steps, by a rough estimate "
        f"{time} on {machine} if nothing is done yet.{more}"
    )


def _commands(made: Plan) -> int:
    return sum(step[0] != "touch" for step in made.steps)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
