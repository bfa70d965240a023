"""Records: one row per sample, attack and view, from which every number is derived later.

A record file is a CSV of rows beside a JSON header that says what was attacked, how, and on which
data. Its name carries a fingerprint of that header, so that an interrupted evaluation finds its
rows again, a larger ``limit`` adds to them, and rows of different protocols never mix.
"""

import contextlib
import csv
import glob
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from robust.errors import ConfigError
from robust.evaluation.rows import Column, Row, Rows
from robust.words import Norm, Split, View, budget, limit_of

Target = int | Literal["random"]
"""A class, or for each image one drawn from those that are not its own."""


@dataclass(frozen=True)
class AttackInfo:
    """An attack of a suite as it was run.

    Args:
        name: Class of the attack.
        arguments: Its plain attributes, defaults included.
        norm: Norm of its threat model.
        eps: Radius of its threat model; infinite where any adversarial image counts.
        target: Class that samples shall become, or ``random``; None if untargeted.
        minimal: Whether it looks for the nearest adversarial image, and so may leave ``eps``.
        code_sha256: Its code.
    """

    name: str
    arguments: dict[str, Any]
    norm: Norm
    eps: float
    target: Target | None
    minimal: bool
    code_sha256: str = ""

    @property
    def budget(self) -> str:
        """Its threat model in a word or two."""
        return budget(self.norm, self.eps)

    def distance(self, rows: Rows) -> Column:
        """Distances of the adversarial images in the norm of the threat model."""
        return rows[self.norm.lower()]

    def turned(self, rows: Rows) -> Column:
        """Which correctly classified images became another class, at whatever distance."""
        turned: Column = rows["attacked"] & (rows["adv_pred"] != rows["label"])
        return turned

    def broke(self, rows: Rows) -> Column:
        """Which correctly classified images became another class within ``eps``."""
        broke: Column = self.turned(rows) & (self.distance(rows) <= limit_of(self.eps))
        return broke

    def held(self, rows: Rows) -> Column:
        """Which images are classified correctly, and still so under the attack."""
        held: Column = (rows["clean_pred"] == rows["label"]) & ~self.broke(rows)
        return held

    def succeeded(self, rows: Rows) -> Column:
        """Where the attack reached its goal: the target if there is one, else any other class."""
        reached = (rows["target"] < 0) | (rows["adv_pred"] == rows["target"])
        succeeded: Column = self.broke(rows) & reached
        return succeeded


@dataclass(frozen=True)
class Header:
    """What was attacked, how, and on which data; two evaluations with one header are the same."""

    suite: str
    attacks: dict[str, AttackInfo]
    seed: int
    block: int
    """Samples that are crafted together and share a seed."""
    data: str
    data_sha256: str
    model_sha256: str
    adaptive_sha256: str
    """The adaptive view: the way around a defense may change while the defense does not."""
    source_sha256: str | None = None
    """The net that a transfer attack was crafted on."""
    split: Split = "test"
    """What was attacked instead of the test set."""
    source_view: View | None = None
    """What of that net the attacker differentiated."""
    random: bool = False
    """Whether two calls of the defense on the same images give other scores."""
    averaged: bool = False
    """Whether the adaptive view of such a defense averages gradients over what it draws (EOT)."""

    @property
    def fingerprint(self) -> str:
        """Short hash of the whole header."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()[:8]

    def plain(self) -> dict[str, Any]:
        """The header in JSON's types; it has no infinity, so an infinite ``eps`` is null."""
        content = asdict(self)
        for info in content["attacks"].values():
            info["eps"] = None if math.isinf(info["eps"]) else info["eps"]
        # As in records from before there was another.
        usuals = {"split": "test", "source_view": None, "random": False, "averaged": False}
        for key, usual in usuals.items():
            if content[key] == usual:
                del content[key]
        return content


class Evaluation:
    """A header and its rows.

    Args:
        header: What the rows are of.
        rows: In any order.
    """

    def __init__(self, header: Header, rows: Iterable[Row]) -> None:
        self.header = header
        self.rows = Rows.of(rows).ordered()
        ends = [*self.rows.starts(), len(self.rows)]
        self._groups = {self.rows[i][:2]: self.rows[i:end] for i, end in pairwise(ends)}

    @property
    def views(self) -> list[str]:
        """Views in the records, deployed first."""
        order = ["deployed", "published", "transfer", "adaptive"]
        return sorted({view for view, _ in self._groups}, key=order.index)

    def select(self, view: str, attack: str) -> Rows:
        """Rows of one attack through one view, by index; empty if it was not run."""
        return self._groups.get((view, attack), self.rows[:0])

    def first(self, limit: int) -> "Evaluation":
        """The rows of the first ``limit`` samples."""
        return Evaluation(self.header, self.rows.where(self.rows["index"] < limit))


class RecordFile:
    """The rows of one header on disk, safe to append to from several processes and commands.

    Every process appends whole blocks to a part of its own; `merge` makes one file of them. Two
    commands that evaluate the same do it twice, but lose no row of each other.

    Args:
        folder: Where records lie; made if absent.
        header: What the rows are of.
        rank: Rank of this process.

    Raises:
        ConfigError: If the folder cannot be written.
    """

    def __init__(self, folder: Path, header: Header, rank: int = 0) -> None:
        self.header = header
        name = f"{header.suite}-{header.fingerprint}"
        self.path = folder / f"{name}.csv"
        self._pattern = f"{glob.escape(name)}.part*.csv"
        self._part = folder / f"{name}.part{rank}.csv"
        self._lock = FileLock(folder / ".lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                _mend(self._part)
        except OSError as error:
            raise ConfigError(
                f"Expected to write records to {folder}, but cannot ({error.strerror}). Choose "
                "another run folder or mend its permissions."
            ) from None

    def read(self) -> list[Row]:
        """All whole rows on disk: the merged ones, and the parts of runs that were interrupted."""
        attacks = self.header.attacks
        rows: dict[tuple[Any, ...], Row] = {}
        with self._alone():
            for file in (self.path, *sorted(self.path.parent.glob(self._pattern))):
                if file.exists():
                    rows |= {row[:3]: row for row in Rows.read(file, attacks)}
        return list(rows.values())

    def append(self, rows: Iterable[Row]) -> None:
        """Add the rows of a block, on disk when this returns."""
        with self._alone(), self._part.open("a", newline="") as file:
            csv.writer(file).writerows(rows)
            file.flush()
            os.fsync(file.fileno())

    def merge(self) -> None:
        """Replace merged file and parts by one file of all rows, atomically; by one process.

        Of all that there are now: another command may have added some since they were read.
        """
        new = self.path.with_suffix(".new")
        with self._alone():
            rows = self.read()
            with new.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(Row._fields)
                writer.writerows(Rows.of(rows).ordered())
            header = json.dumps(self.header.plain(), indent=1, allow_nan=False)
            self.path.with_suffix(".json").write_text(header)
            new.replace(self.path)
            for part in self.path.parent.glob(self._pattern):
                part.unlink()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other command reads or writes the rows."""
        with contextlib.suppress(OSError):  # a file system without locks: then one at a time
            self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()


def read_evaluation(path: Path) -> Evaluation:
    """Read a merged record file and its header.

    Raises:
        ConfigError: If either is missing or damaged.
    """
    try:
        content = json.loads(path.with_suffix(".json").read_text())
        attacks = {name: _info(**info) for name, info in content.pop("attacks").items()}
        return Evaluation(Header(attacks=attacks, **content), Rows.read(path, attacks))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"Expected records in {path} and {path.with_suffix('.json').name}, but cannot read "
            f"them ({error}). Evaluate again."
        ) from None


def _info(*, eps: float | None, **rest: Any) -> AttackInfo:  # noqa: ANN401
    return AttackInfo(eps=math.inf if eps is None else eps, **rest)


def _mend(part: Path) -> None:
    """Make sure of a file, and cut off half a line that a killed process left at its end."""
    part.touch()
    content = part.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        part.write_bytes(whole)
