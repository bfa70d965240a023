"""Records have one row per sample, attack and view. Every number is derived from them.

A record file is a CSV of rows beside a JSON header that says what was attacked, how, and on which
data. Its name carries a fingerprint of that header. So an interrupted evaluation finds its rows
again, a larger ``limit`` adds to them, and rows of different protocols never mix.
"""

import math
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robust.errors import ConfigError
from robust.io import files
from robust.io.radius import radius
from robust.results.evidence.recorded import Evidence
from robust.results.rows import Column, Row, Rows
from robust.results.stored.headers import DAMAGE, fingerprint_of, header_fault, read_header
from robust.results.stored.intact import Check
from robust.vocabulary import Norm, Split, View, limit_of

Target = int | Literal["random"]
"""A class, or for each image a random class that is not its own."""


@dataclass(frozen=True)
class AttackInfo:
    """An attack of a suite, as it was run.

    Args:
        name: Class of the attack.
        arguments: Its plain attributes, defaults included.
        norm: Norm of its threat model.
        eps: Radius of its threat model; infinite where any adversarial image counts.
        target: Class that samples shall become, or ``random``; None if untargeted.
        minimal: Whether it looks for the nearest adversarial image, and so may leave ``eps``.
        code_sha256: Hash of its code.
        area: Which pixels may change, in words; empty if all may.
    """

    name: str
    arguments: dict[str, Any]
    norm: Norm
    eps: float
    target: Target | None
    minimal: bool
    code_sha256: str = ""
    area: str = ""

    @property
    def budget(self) -> str:
        """The norm and eps of its threat model, and which pixels may change if not all."""
        return f"{self.norm} {radius(self.eps)} {self.area}".rstrip()

    def distance(self, rows: Rows) -> Column:
        """Return distances of the adversarial images in the norm of the threat model."""
        return rows[self.norm.lower()]

    def misclassified(self, rows: Rows) -> Column:
        """Return which attacked images the attack got misclassified, at whatever distance."""
        misclassified: Column = rows["attacked"] & (rows["adv_pred"] != rows["label"])
        return misclassified

    def misclassified_within_eps(self, rows: Rows) -> Column:
        """Return which attacked images the attack got misclassified within ``eps``."""
        within: Column = self.distance(rows) <= limit_of(self.eps)
        return self.misclassified(rows) & within

    def robust(self, rows: Rows) -> Column:
        """Return which images are classified correctly, and stay so under the attack."""
        correct: Column = rows["clean_pred"] == rows["label"]
        return correct & ~self.misclassified_within_eps(rows)

    def succeeded(self, rows: Rows) -> Column:
        """Return where the attack reached its target, or without one any other class."""
        reached: Column = (rows["target"] < 0) | (rows["adv_pred"] == rows["target"])
        return self.misclassified_within_eps(rows) & reached


@dataclass(frozen=True)
class Header:
    """A header says what was attacked, how, and on which data; equal headers mean equal records."""

    suite: str
    attacks: dict[str, AttackInfo]
    seed: int
    block: int
    """Samples that are crafted together and share a seed."""
    data: str
    data_sha256: str
    model_sha256: str
    adaptive_sha256: str
    """Hash of the adaptive view, which may change while the defense does not."""
    source_sha256: str | None = None
    """Hash of the network that a transfer attack was crafted on."""
    split: Split = "test"
    """The part of the data that was attacked."""
    source_view: View | None = None
    """The view of that network that the attacker differentiated."""
    random: bool = False
    """Whether two calls of the defense on the same images give other scores."""
    averaged: bool = False
    """Whether the adaptive view of such a defense averages gradients over its randomness (EOT)."""
    judged: int = 1
    """Calls of such a defense that judge an adversarial image, which fools it in most of them."""

    @property
    def fingerprint(self) -> str:
        """A short hash of the complete header."""
        return fingerprint_of(self.plain())

    def plain(self) -> dict[str, Any]:
        """Return the header in JSON's types; an infinite ``eps`` becomes null."""
        content = asdict(self)
        for info in content["attacks"].values():
            info["eps"] = None if math.isinf(info["eps"]) else info["eps"]
            if not info["area"]:  # earlier versions had none
                del info["area"]
        # Records of earlier versions do not have these keys.
        usuals: dict[str, Any] = {"split": "test", "source_view": None, "random": False}
        usuals |= {"averaged": False, "judged": 1}
        for key, usual in usuals.items():
            if content[key] == usual:
                del content[key]
        return content


class Evaluation:
    """An evaluation is a header with its rows.

    Args:
        header: What was attacked.
        rows: In any order.
        notes: Sentences that a reader of the rows has to know.
        evidence: Whether the attacks would have found what is there; None if nobody asked.
    """

    def __init__(
        self,
        header: Header,
        rows: Iterable[Row],
        notes: Sequence[str] = (),
        evidence: Evidence | None = None,
    ) -> None:
        self.header, self.evidence = header, evidence
        self.notes = list(notes)
        ordered = Rows.from_rows(rows).ordered()
        ends = [*ordered.starts(), len(ordered)]
        self._rows: Rows | None = ordered
        self._none = ordered[:0]
        self._groups = {ordered[i][:2]: ordered[i:end] for i, end in pairwise(ends)}
        self._parts: dict[tuple[str, ...], Evaluation] = {}
        self._survivors: dict[tuple[str, ...], tuple[Column, Column]] = {}

    @property
    def rows(self) -> Rows:
        """All rows by view, attack and index."""
        if self._rows is None:  # of a part, most of which nobody asks for
            self._rows = Rows.joined(list(self._groups.values()))
        return self._rows

    @property
    def views(self) -> list[str]:
        """The views in the records, deployed first."""
        order = ["deployed", "published", "transfer", "adaptive"]
        return sorted({view for view, _ in self._groups}, key=order.index)

    def select(self, view: str, attack: str) -> Rows:
        """Return the rows of one attack through one view by index; empty if it was not run."""
        return self._groups.get((view, attack), self._none)

    def images(self) -> Rows:
        """Return one row of each image."""
        groups = iter(self._groups.values())
        first = next(groups, self._none)
        if all(np.array_equal(rows["index"], first["index"]) for rows in groups):
            return first
        return self.rows.where(np.unique(self.rows["index"], return_index=True)[1])

    def survivors(self, *views: str) -> tuple[Column, Column]:
        """Return indices of the images, and which are robust under all attacks through some views.

        Args:
            views: The views; without any, all of them.
        """
        if views not in self._survivors:  # tables and a verdict ask for each again and again
            found = [
                (rows["index"], self.header.attacks[attack].robust(rows))
                for (view, attack), rows in self._groups.items()
                if (not views or view in views) and attack in self.header.attacks
            ]
            self._survivors[views] = _in_all(found)
        return self._survivors[views]

    def of(self, attacks: Iterable[str]) -> "Evaluation":
        """Return the part of the evaluation that has some attacks alone."""
        chosen = {name: self.header.attacks[name] for name in attacks}
        if len(chosen) == len(self.header.attacks):
            return self
        key = tuple(chosen)
        if key not in self._parts:  # a verdict asks for each again and again
            part = copy(self)
            part.header = replace(self.header, attacks=chosen)
            part._groups = {k: rows for k, rows in self._groups.items() if k[1] in chosen}
            part._rows, part._parts, part._survivors = None, {}, {}
            self._parts[key] = part
        part = copy(self._parts[key])
        part.notes, part.evidence = list(self.notes), self.evidence
        return part

    def first(self, limit: int) -> "Evaluation":
        """Return the evaluation of the first ``limit`` samples."""
        return self.having(self.rows.where(self.rows["index"] < limit))

    def having(self, rows: Rows) -> "Evaluation":
        """Return the evaluation with some of its rows alone."""
        return Evaluation(self.header, rows, self.notes, self.evidence)


def _in_all(found: Sequence[tuple[Column, Column]]) -> tuple[Column, Column]:
    """Return all indices of some columns, and which of them are true wherever they are there."""
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, bool)
    first = found[0][0]
    if all(np.array_equal(index, first) for index, _ in found):  # as most records are
        return first, np.logical_and.reduce([column for _, column in found])
    index = np.unique(np.concatenate([index for index, _ in found]))
    false = np.concatenate([index[~column] for index, column in found])
    return index, ~np.isin(index, false)


class UnreadableRecords(ConfigError):
    """Nothing of a record file can be believed.

    Args:
        path: The file.
        reason: Why nothing can be believed.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"Expected records in {path} and {path.with_suffix('.json').name}, but cannot read "
            f"them ({reason}). Evaluate again."
        )
        self.reason = reason


def read_evaluation(path: Path) -> Evaluation:
    """Read a merged record file and its header.

    Of a damaged file it has the samples for which every attack is intact, and a note says so.

    Raises:
        UnreadableRecords: If either is missing, or nothing of them is intact.
    """
    try:
        content, sums, notes, evidence, _ = read_header(path.with_suffix(".json"))
        if f"{content['suite']}-{fingerprint_of(content)}" != path.stem:
            raise ValueError("the header is of another file")
        attacks = {name: _info(**info) for name, info in content.pop("attacks").items()}
        header = Header(attacks=attacks, **content)
        found = Check(attacks, header.block).merged(files.read(path), sums)
    except OSError as error:
        raise UnreadableRecords(path, error.strerror or str(error)) from None
    except DAMAGE as error:
        raise UnreadableRecords(path, header_fault(error)) from None
    if found.damage:
        reasons = ", ".join(dict.fromkeys(each.reason for each in found.damage))
        found = found.common(attacks)
        if not found.rows:
            raise UnreadableRecords(path, reasons)
        notes = [*notes, f"damaged records are left out ({reasons}); evaluate again."]
    unchecked = len(found.rows) - int(found.checked.sum())
    if unchecked:
        notes = [*notes, unchecked_note(unchecked, len(found.rows))]
    return Evaluation(header, found.rows, notes, evidence)


def unchecked_note(rows: int, total: int) -> str:
    """Return a note on records of which some have no checksum."""
    which = "its records" if rows == total else f"{rows} of {total} of its records"
    return f"unchecked: {which} are from before there were checksums."


def _info(*, eps: float | None, **rest: Any) -> AttackInfo:  # noqa: ANN401
    return AttackInfo(eps=math.inf if eps is None else eps, **rest)
