"""Records: one row per sample, attack and view, from which every number is derived later.

A record file is a CSV of rows beside a JSON header that says what was attacked, how, and on which
data. Its name carries a fingerprint of that header, so that an interrupted evaluation finds its
rows again, a larger ``limit`` adds to them, and rows of different protocols never mix.
"""

import csv
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from robust.errors import ConfigError
from robust.evaluation.samples import Split
from robust.threat import ThreatModel
from robust.types import Norm

Target = int | Literal["random"]
"""A class, or for each image one drawn from those that are not its own."""


class Row(NamedTuple):
    """One sample under one attack through one view."""

    view: str
    attack: str
    index: int  # type: ignore[assignment] # a column, not tuple's method
    """Place in the test set, or in the order of `samples.Pool`."""
    label: int
    target: int
    """Class that the image should become; -1 if untargeted."""
    attacked: bool
    """False for samples that the protocol leaves out: misclassified, or of the target class."""
    clean_pred: int
    adv_pred: int
    """Prediction of the defense, whatever the view; the clean one if not attacked."""
    clean_tie: bool
    """Whether the two best clean scores of the defense are exactly equal."""
    adv_tie: bool
    zero_gradient: bool
    """Whether the cross-entropy of the view has an exactly zero gradient at the clean image."""
    linf: float
    l2: float
    l0: float
    forwards: float
    """Forward passes per image."""
    seconds: float
    """Wall time per image."""


_PARSERS: dict[str, Any] = {"view": str, "attack": str} | {
    name: {int: int, float: float, bool: lambda text: text == "True"}[kind]
    for name, kind in Row.__annotations__.items()
    if kind is not str
}


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
    def threat_model(self) -> ThreatModel:
        """Which adversarial images count."""
        return ThreatModel(self.norm, self.eps)

    def distance(self, row: Row) -> float:
        """Distance of the adversarial image in the norm of the threat model."""
        return {"Linf": row.linf, "L2": row.l2, "L0": row.l0}[self.norm]

    def within(self, row: Row) -> bool:
        """Whether the adversarial image lies within ``eps``."""
        return self.distance(row) <= self.threat_model.limit

    def broke(self, row: Row) -> bool:
        """Whether a correctly classified image became another class, the target or not."""
        return row.attacked and row.adv_pred != row.label and self.within(row)

    def succeeded(self, row: Row) -> bool:
        """Whether the attack reached its goal: the target if there is one, else any other class."""
        reached = row.target < 0 or row.adv_pred == row.target
        return self.broke(row) and reached


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

    @property
    def fingerprint(self) -> str:
        """Short hash of the whole header."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()[:8]

    def plain(self) -> dict[str, Any]:
        """The header in JSON's types; it has no infinity, so an infinite ``eps`` is null."""
        content = asdict(self)
        for info in content["attacks"].values():
            info["eps"] = None if math.isinf(info["eps"]) else info["eps"]
        if content["split"] == "test":
            del content["split"]  # as in records from before there was another
        return content


class Evaluation:
    """A header and its rows.

    Args:
        header: What the rows are of.
        rows: In any order.
    """

    def __init__(self, header: Header, rows: Iterable[Row]) -> None:
        self.header = header
        self.rows = _in_order(rows)
        self._groups: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            self._groups.setdefault((row.view, row.attack), []).append(row)

    @property
    def views(self) -> list[str]:
        """Views in the records, deployed first."""
        order = ["deployed", "published", "transfer", "adaptive"]
        return sorted({view for view, _ in self._groups}, key=order.index)

    def select(self, view: str, attack: str) -> list[Row]:
        """Rows of one attack through one view, by index; empty if it was not run."""
        return self._groups.get((view, attack), [])

    def first(self, limit: int) -> "Evaluation":
        """The rows of the first ``limit`` samples."""
        return Evaluation(self.header, (row for row in self.rows if row.index < limit))


class RecordFile:
    """The rows of one header on disk, safe to append to from several processes.

    Every process appends whole blocks to a part of its own; `merge` makes one file of them.

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
        self._pattern = f"{name}.part*.csv"
        self._part = folder / f"{name}.part{rank}.csv"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _mend(self._part)
        except OSError as error:
            raise ConfigError(
                f"Expected to write records to {folder}, but cannot ({error.strerror}). Choose "
                "another run folder or mend its permissions."
            ) from None

    def read(self) -> list[Row]:
        """All whole rows on disk: the merged ones, and the parts of runs that were interrupted."""
        files = [self.path, *sorted(self.path.parent.glob(self._pattern))]
        rows = {row[:3]: row for file in files if file.exists() for row in _read_rows(file)}
        return list(rows.values())

    def append(self, rows: Iterable[Row]) -> None:
        """Add the rows of a block, on disk when this returns."""
        with self._part.open("a", newline="") as file:
            csv.writer(file).writerows(rows)
            file.flush()
            os.fsync(file.fileno())

    def merge(self, rows: Iterable[Row]) -> None:
        """Replace merged file and parts by one file of ``rows``, atomically; by one process."""
        new = self.path.with_suffix(".new")
        with new.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Row._fields)
            writer.writerows(_in_order(rows))
        header = json.dumps(self.header.plain(), indent=1, allow_nan=False)
        self.path.with_suffix(".json").write_text(header)
        new.replace(self.path)
        for part in self.path.parent.glob(self._pattern):
            part.unlink()


def read_evaluation(path: Path) -> Evaluation:
    """Read a merged record file and its header.

    Raises:
        ConfigError: If either is missing or damaged.
    """
    try:
        content = json.loads(path.with_suffix(".json").read_text())
        attacks = {name: _info(**info) for name, info in content.pop("attacks").items()}
        return Evaluation(Header(attacks=attacks, **content), _read_rows(path))
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


def _in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.view, row.attack, row.index))


def _read_rows(path: Path) -> Iterator[Row]:
    with path.open(newline="") as file:
        for line in file:
            # Another process, killed while writing, may have left half a line at the end.
            if line.endswith("\n") and not line.startswith("view,"):
                yield _parse(next(csv.reader([line])))


def _parse(values: list[str]) -> Row:
    return Row(*(_PARSERS[name](text) for name, text in zip(Row._fields, values, strict=True)))
