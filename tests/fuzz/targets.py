"""What is damaged, how, and which commands then read it."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import flags
from tests.fuzz.binary import CHECKPOINT, IDX, NPZ
from tests.fuzz.mutations import CSV, JSON, PLACE, YAML
from tests.fuzz.world import EVALUATE, FIT

Command = tuple[str, list[str]]

_CHECKPOINT = "runs/standard/a/checkpoints/last.ckpt"
_FIT: Command = ("train.py", [*FIT, "--run.id=new"])
_RESUME: Command = (
    "train.py",
    [*FIT, "--run.name=standard", "--run.id=a", "--run.resume=auto", "--trainer.max_epochs=2"],
)
_EVALUATE: Command = ("evaluate.py", EVALUATE)
_MORE: Command = ("evaluate.py", [*EVALUATE, "--limit=11", "--output=tables.md"])
_REPORT: Command = ("evaluate.py", ["--report", "runs", "-o", "old.html", "--tables", "tables"])
_TABLE: Command = (
    "evaluate.py",
    ["runs/standard/a", "runs/squeezed/a", "--table=tables/table.yaml"],
)
_FIGURES: Command = ("evaluate.py", ["runs/standard/a", "--draw", "progress", "features"])
_SWEEP: Command = ("sweep", ["sweep.yaml", "--trust-command"])
_MNIST = ["--data.dataset=mnist", "--data.root=data", "--model.network.num_classes=10"]
_MNIST += ["--model.network.in_features=784"]


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Args:
        mutators: Changes of a file, or of the command line where there are no ``files``.
        commands: Of which one runs.
        files: Patterns; one file of those that match is changed.
    """

    mutators: Mapping[str, Any]
    commands: list[Command]
    files: tuple[str, ...] = ()


TARGETS = {
    "config": Target(YAML, [_FIT], ("mlp.yaml",)),
    "suite": Target(
        YAML,
        [_EVALUATE, _EVALUATE, ("train.py", [*FIT, "--evaluation=suite.yaml"])],
        ("suite.yaml",),
    ),
    "table": Target(YAML, [_TABLE, _REPORT], ("tables/table.yaml",)),
    "measured table": Target(
        YAML,
        [
            ("evaluate.py", ["runs/standard/a", "--table=tables/measured.yaml", "--limit=4"]),
            _REPORT,
        ],
        ("tables/measured.yaml",),
    ),
    "sweep": Target(
        YAML, [_SWEEP, ("sweep", ["search.yaml", "--trust-command"])], ("sweep.yaml", "search.yaml")
    ),
    "journal": Target(JSON, [_SWEEP], ("runs/toy/study.jsonl",)),
    "records": Target(CSV, [_EVALUATE, _MORE, _REPORT], ("runs/standard/a/records/*.csv",)),
    "header": Target(JSON, [_EVALUATE, _REPORT], ("runs/standard/a/records/*.json",)),
    "metrics": Target(CSV, [_REPORT, _FIGURES, _RESUME, _SWEEP], ("runs/*/*/metrics.csv",)),
    "run config": Target(
        YAML,
        [
            _REPORT,
            _EVALUATE,
            _RESUME,
            ("train.py", ["fit", "--config=runs/standard/a/config.yaml", "--run.id=b"]),
        ],
        ("runs/standard/a/config.yaml",),
    ),
    "checkpoint": Target(
        CHECKPOINT,
        [
            _EVALUATE,
            _RESUME,
            _REPORT,
            ("train.py", ["test", *FIT[1:], f"--ckpt_path={_CHECKPOINT}", "--run.id=t"]),
            (
                "evaluate.py",
                ["runs/squeezed/a", "--suite=suite.yaml", "--transfer-from=runs/standard/a"],
            ),
            ("evaluate.py", ["runs/standard/a", "--lipschitz", "--certify=0.1", "--limit=2"]),
        ],
        (_CHECKPOINT,),
    ),
    "npz": Target(NPZ, [_FIT, _EVALUATE], ("tern.npz",)),
    "idx": Target(IDX, [("train.py", [*FIT, *_MNIST, "--run.id=new"])], ("data/MNIST/raw/*",)),
    "place": Target(
        PLACE,
        [_EVALUATE, _MORE, _RESUME, _REPORT, _SWEEP, _FIT, _TABLE, _FIGURES],
        (
            "runs/*/*/*",
            "runs/*/*/*/*",
            "runs/*/*/records/.lock",
            "runs/toy/*",
            "old.html",
            "tables/*",
            "*.yaml",
            "tern.npz",
        ),
    ),
    "train flags": Target(flags.mutators(flags.TRAIN, True), [_FIT, _FIT, _RESUME]),
    "evaluate flags": Target(
        flags.mutators(flags.EVALUATE, False),
        [_EVALUATE, _TABLE, ("evaluate.py", ["runs/standard/a"])],
    ),
    "sweep flags": Target(flags.mutators(flags.SWEEP, False), [_SWEEP]),
    "report flags": Target(flags.mutators(flags.REPORT, False), [_REPORT]),
}


@dataclass(frozen=True)
class Input:
    """A mutated input: what makes it again in a fresh copy of the world.

    Args:
        target: A key of `TARGETS`.
        command: Which of its commands runs.
        mutations: Names of its mutators, each with a seed.
    """

    target: str
    command: int
    mutations: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        words = [f"{name}@{seed}" for name, seed in self.mutations]
        return ":".join([self.target, str(self.command), *words])

    @classmethod
    def parse(cls, text: str) -> "Input":
        """The input that `str` gave as text."""
        target, command, *words = text.split(":")
        pairs = (word.split("@") for word in words)
        return cls(target, int(command), tuple((name, int(seed)) for name, seed in pairs))

    def apply(self, folder: Path) -> Command:
        """Change a copy of the world; the command to run in it."""
        target = TARGETS[self.target]
        program, args = target.commands[self.command]
        for name, seed in self.mutations:
            random, mutate = Random(seed), target.mutators[name]
            if not target.files:
                args = mutate(args, random)
                continue
            found = sorted(
                p for pattern in target.files for p in folder.glob(pattern) if _can(self.target, p)
            )
            # A mutation that cannot be, of what another one left, is none.
            with contextlib.suppress(Exception):
                mutate(random.choice(found), random)
        return program, args


def _can(target: str, path: Path) -> bool:
    return target == "place" or path.is_file()


def rounds() -> st.SearchStrategy[tuple[Input, ...]]:
    """One input of every target, mostly of one mutation."""
    return st.tuples(*(_of(name) for name in TARGETS))


def _of(name: str) -> st.SearchStrategy[Input]:
    target = TARGETS[name]
    mutation = st.tuples(st.sampled_from(sorted(target.mutators)), st.integers(0, 2**31))
    return st.builds(
        Input,
        st.just(name),
        st.integers(0, len(target.commands) - 1),
        st.lists(mutation, min_size=1, max_size=2).map(tuple),
    )
