"""Runs inputs in copies of the world, and keeps the smallest of each kind of failure."""

import contextlib
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.oracle import faults, snapshot
from tests.fuzz.targets import TARGETS, Input, rounds
from tests.fuzz.world import build
from tests.fuzz.zygote import ROOT, Outcome, Zygote


@dataclass
class Failure:
    """A kind of failure with its smallest input.

    Args:
        kind: What is wrong.
        input: What shows it.
        command: The command line.
        outcome: How that ended.
        count: How many inputs showed it.
    """

    kind: str
    input: Input
    command: str
    outcome: Outcome
    count: int = 1

    def __str__(self) -> str:
        end = "\n    ".join(self.outcome.err.strip().splitlines()[-4:])[-1_500:]
        return f"{self.kind} ({self.count} times)\n  {self.input}\n  $ {self.command}\n    {end}"


@dataclass
class Found:
    """What a session tried.

    Args:
        tried: Inputs, by target.
        codes: Exit codes.
        failures: By kind.
    """

    tried: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    failures: dict[str, Failure] = field(default_factory=dict)

    def __str__(self) -> str:
        codes = ", ".join(f"{code}: {n}" for code, n in sorted(self.codes.items()))
        return f"{self.tried.total()} inputs of {len(self.tried)} kinds (exit codes {codes})"


class Runner:
    """A zygote with a world.

    Args:
        zygote: What forks the commands.
        folder: Where the world and its copies lie.
    """

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self.zygote, self.folder = zygote, folder
        self.world = build(folder / "world", zygote)
        self.before = snapshot(self.world)

    def run(self, tried: Input, keep: Path | None = None) -> tuple[list[str], str, Outcome]:
        """Kinds of what went wrong, the command line, how it ended.

        Args:
            tried: The input.
            keep: Where to leave a copy of the folder as the command finds it.
        """
        folder = self.folder / "copy"
        shutil.copytree(self.world, folder, symlinks=True)
        try:
            program, args = tried.apply(folder)
            if keep is not None:
                shutil.copytree(folder, keep, symlinks=True, ignore=_special)
            before = snapshot(folder)
            outcome = self.zygote.run(program, args, folder)
            wrong = faults(program, args, outcome, before, snapshot(folder))
        finally:
            shutil.rmtree(folder)
        return wrong, _command_line(program, args), outcome

    def smallest(self, failure: Failure) -> Failure:
        """The failure with as few mutations as show it."""
        for mutation in failure.input.mutations:
            fewer = tuple(m for m in failure.input.mutations if m != mutation)
            if fewer:
                tried = replace(failure.input, mutations=fewer)
                wrong, command, outcome = self.run(tried)
                if failure.kind in wrong:
                    failure = Failure(failure.kind, tried, command, outcome, failure.count)
        return failure


def session(
    runner: Runner, n: int, start: int, seconds: float, tell: Callable[[str], None] | None = None
) -> Found:
    """Try so many inputs, or as many as fit in the time; the same ones for the same ``start``."""
    found = Found()
    end = time.monotonic() + seconds

    @seed(start)
    @settings(
        max_examples=-(-n // len(TARGETS)),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(rounds())
    def each(tried: tuple[Input, ...]) -> None:
        for one in tried:
            if found.tried.total() == n or time.monotonic() > end:
                raise _Enough
            _try(runner, one, found, tell)

    with contextlib.suppress(_Enough):
        each()
    return found


def _try(runner: Runner, tried: Input, found: Found, tell: Callable[[str], None] | None) -> None:
    wrong, command, outcome = runner.run(tried)
    found.tried[tried.target] += 1
    found.codes[outcome.code] += 1
    for kind in wrong:
        if kind in found.failures:
            found.failures[kind].count += 1
            continue
        found.failures[kind] = runner.smallest(Failure(kind, tried, command, outcome))
        if tell is not None:
            tell(str(found.failures[kind]))


class _Enough(BaseException):
    """Time is up; no failure that hypothesis would shrink."""


def _special(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_fifo()]


def _command_line(program: str, args: list[str]) -> str:
    words = ["-m", "robust.sweep"] if program == "sweep" else [str(ROOT / program)]
    return shlex.join(["python", *words, *args])
