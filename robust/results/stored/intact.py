"""Rows of a record file are believed if their values are possible and their checksums match.

Rows count by the block: those of one view, one attack, and the samples that were attacked together.
A checksum tells damage and careless edits. A forger who changes the checksum as well is not found.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol, get_args

import numpy as np

from robust.results.rows import LATER, Column, Row, Rows
from robust.results.stored.checksums import ABSENT, UNCHECKED, Key, Sums, checksum, checksums
from robust.vocabulary import View, limit_of

VIEWS = (*get_args(View), "transfer")


class Damage(NamedTuple):
    """Lines of a record file that cannot be believed.

    Args:
        reason: What is wrong, in a few words.
        text: The lines, as they are set aside.
        key: The block; None if the lines do not say.
    """

    reason: str
    text: str = ""
    key: Key | None = None


class Intact(NamedTuple):
    """The rows that can be believed, and the damage.

    Args:
        rows: In order, each once.
        checked: Whether a checksum matched, for each of them.
        damage: What was left out.
    """

    rows: Rows
    checked: Column
    damage: Sequence[Damage]

    def checksums(self, size: int) -> dict[Key, str]:
        """Return the checksum of each block of ``size`` samples; `UNCHECKED` without one."""
        sums = checksums(self.rows, size)
        return {
            (view, attack, number): sums[view, attack, number]
            if self.checked[part].all()
            else UNCHECKED
            for view, attack, number, part in self.rows.blocks(size)
        }

    def common(self, attacks: Collection[str]) -> "Intact":
        """Return the samples for which every attack through every view is intact.

        A sample without a row would count as robust.

        Args:
            attacks: All attacks. Of a view without any row of one of them, nothing is left.
        """
        groups = {self.rows[i][:2] for i in self.rows.starts()}
        views = {view for view, _ in groups}
        incomplete = {view for view in views for attack in attacks if (view, attack) not in groups}
        kept = ~np.isin(self.rows["view"], list(incomplete))
        rows, checked = self.rows.where(kept), self.checked[kept]
        counts = np.unique(rows["index"], return_counts=True)
        complete = counts[0][counts[1] == len(rows.starts())]
        kept = np.isin(rows["index"], complete)
        return Intact(rows.where(kept), checked[kept], self.damage)


class Allowed(Protocol):
    """What an attack may have done: a `robust.results.records.AttackInfo`."""

    @property
    def norm(self) -> str:
        """Norm of its threat model."""

    @property
    def eps(self) -> float:
        """Radius of its threat model."""

    @property
    def target(self) -> int | str | None:
        """Class that samples shall become, or ``random``; None if untargeted."""

    @property
    def minimal(self) -> bool:
        """Whether it may leave ``eps``."""


class Check(NamedTuple):
    """The facts that rows are checked against.

    Args:
        attacks: What each attack may have done, by its name.
        block: Samples that are attacked together.
        classes: Number of classes; None if it is not known.
    """

    attacks: Mapping[str, Allowed]
    block: int
    classes: int | None = None

    def merged(self, content: bytes, sums: Sums | None) -> Intact:
        """Return what is intact of a file of all rows, whose first line names the fields.

        Args:
            content: The file.
            sums: Its checksums; None of a file from before there were any.
        """
        lines, half = _lines_of(content)
        rows, rest = self._parsed(_HEAD.sub("", lines, count=1))
        damage = [Damage("lines that are no rows", line) for line in (*rest, half) if line]
        if sums is not None:
            found = {(view, attack, n) for view, attack, n, _ in rows.blocks(self.block)}
            gone = [key for key in sums if key not in found and ABSENT not in sums[key]]
            damage += [Damage("missing rows", key=key) for key in gone]
        return self._believed(rows, sums, damage)

    def part(self, content: bytes) -> list[Intact]:
        """Return what is intact of a file that blocks were added to, each after its checksum.

        Args:
            content: The file, without a block that was not completed at its end.
        """
        head, *rest = re.split(r"^(?=#)", _lines_of(content)[0], flags=re.MULTILINE)
        rows, lines = self._parsed(head)
        damage = [Damage("lines that are no rows", line) for line in lines]
        return [self._believed(_latest(rows), None, damage), *map(self._added, rest)]

    def _added(self, text: str) -> Intact:
        first, _, lines = text.partition("\n")
        promised = _PROMISE.fullmatch(first)
        nothing = Rows.parse("", self.attacks)
        if promised is None:
            return Intact(nothing, np.zeros(0, bool), [Damage("a damaged checksum", text)])
        rows, rest = self._parsed(lines)
        sums = {key: frozenset([promised[2]]) for key in checksums(rows, self.block)}
        if rest or len(rows) != int(promised[1]) or len(sums) != 1:
            damage = [Damage("rows that are not those of their checksum", lines)]
            return Intact(nothing, np.zeros(0, bool), damage)
        return self._believed(rows, sums, [])

    def _parsed(self, text: str) -> tuple[Rows, list[str]]:
        """Return the rows of some lines in order, and the lines that are no rows."""
        try:
            return Rows.parse(text, self.attacks).ordered(), []
        except (ValueError, OverflowError, csv.Error):
            lines = text.splitlines(keepends=True)
            # Rows of earlier versions lack the last columns.
            pattern = next((p for p in (_ROW, *_OLD_ROWS) if any(map(p.fullmatch, lines))), _ROW)
            good = [line for line in lines if pattern.fullmatch(line)]
            bad = [line for line in lines if not pattern.fullmatch(line)]
            return Rows.parse("".join(good), self.attacks).ordered(), bad

    def _believed(self, rows: Rows, sums: Sums | None, damage: Sequence[Damage]) -> Intact:
        fault, reasons = self._faults(rows)
        actual = checksums(rows, self.block) if sums is not None else {}
        kept, checked = np.ones(len(rows), bool), np.zeros(len(rows), bool)
        found = list(damage)
        for view, attack, number, part in rows.blocks(self.block):
            key = view, attack, number
            accepted = frozenset([UNCHECKED]) if sums is None else sums.get(key, frozenset())
            reason = reasons[fault[part].max()]
            if not reason and actual.get(key) not in accepted and UNCHECKED not in accepted:
                reason = "a checksum that does not match"
            if reason:
                kept[part] = False
                found.append(Damage(reason, _lines(rows[part]), key))
            checked[part] = actual.get(key) in accepted
        if kept.all():
            return Intact(rows, checked, found)
        return Intact(rows.where(kept), checked[kept], found)

    def _faults(self, rows: Rows) -> tuple[Column, list[str]]:
        """Return the fault of each row as an index into a list of reasons; 0 is no fault."""
        fault = np.zeros(len(rows), np.int8)
        reasons = [""]
        for start, end in pairwise([*rows.starts(), len(rows)]):
            part = rows[start:end]
            for reason, wrong in self._wrong(part):
                wrong = wrong & (fault[start:end] == 0)
                if wrong.any():
                    reasons += [reason] * (reason not in reasons)
                    fault[start:end][wrong] = reasons.index(reason)
        return fault, reasons

    def _wrong(self, rows: Rows) -> Iterator[tuple[str, Column]]:
        """Yield possible faults of rows of one attack and view, and which rows have them."""
        view, attack = rows[0][:2]
        info = self.attacks.get(attack)
        if view not in VIEWS or info is None:
            yield "an unknown view or attack", np.ones(len(rows), bool)
            return
        index, label, target = (rows[name] for name in ("index", "label", "target"))
        twice = np.zeros(len(rows), bool)
        twice[1:] = index[1:] == index[:-1]
        yield "an index that is negative or there twice", (index < 0) | twice
        for name in ("label", "clean_pred", "adv_pred"):
            most = np.inf if self.classes is None else self.classes - 1
            yield f"{name} that is no class", (rows[name] < 0) | (rows[name] > most)
        for name in ("linf", "l2", "l1", "l0", "forwards", "seconds"):
            usual = np.isfinite(rows[name]) & (rows[name] >= 0)
            yield f"{name} that is negative or no number", ~usual
        yield "another target", _other_target(info.target, label, target)
        attacked = (rows["clean_pred"] == label) & (label != target)
        yield "attacked that does not follow from the classes", rows["attacked"] != attacked
        moved = rows["adv_pred"] != rows["clean_pred"]
        yield "a new class without an attack", ~rows["attacked"] & moved
        if not info.minimal:
            # Twice the slack: distances are rounded once more when images become float32.
            far = rows[info.norm.lower()] > limit_of(limit_of(info.eps))
            yield "a distance beyond eps", rows["attacked"] & far


def union(parts: Sequence[Intact]) -> Intact:
    """Return all rows of several files; the last one wins."""
    if not parts:
        return Intact(Rows.from_rows(()), np.zeros(0, bool), [])
    damage = [damage for part in parts for damage in part.damage]
    if len(parts) == 1:
        return parts[0]
    rows = Rows.joined([part.rows for part in parts])
    checked = np.concatenate([part.checked for part in parts])
    order = rows.latest()
    return Intact(rows.where(order), checked[order], damage)


def block_text(rows: Rows) -> str:
    """Return the lines of one block as they are added to a part: a checksum, then its rows."""
    ordered = rows.ordered()
    return f"# {len(rows)} {checksum(ordered)}\r\n{_lines(ordered)}"


def complete(content: bytes) -> bytes:
    """Return the content of a part without an incomplete block at its end."""
    kept = content[: content.rfind(b"\n") + 1]
    start = kept.rfind(b"\n#") + 1
    promised = _PROMISE.match(kept[start:].split(b"\n")[0].decode(errors="replace"))
    if promised is not None and kept[start:].count(b"\n") <= int(promised[1]):
        return kept[:start]
    return kept


def _other_target(allowed: int | str | None, label: Column, target: Column) -> Column:
    if allowed == "random":
        wrong: Column = (target < 0) | (target == label)
        return wrong
    other: Column = target != (-1 if allowed is None else allowed)
    return other


def _latest(rows: Rows) -> Rows:
    return rows.where(rows.latest())


def _lines(rows: Rows) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def as_text(content: bytes) -> str:
    """Return bytes as text; bytes that are not UTF-8 can be written back unchanged.

    See `robust.io.files.append`. A byte that is no text makes a line that is no row.
    """
    return content.decode(errors="surrogateescape")


def _lines_of(content: bytes) -> tuple[str, str]:
    """Return the complete lines of a file, and the rest."""
    end = content.rfind(b"\n") + 1
    return as_text(content[:end]), as_text(content[end:])


_PROMISE = re.compile(r"# (\d{1,9}) ([0-9a-f]{16})\r?")
_PATTERNS = {
    str: r'(?:"(?:[^"\n]|"")*"|[^",\n]*)',
    int: r"-?\d{1,18}",
    bool: r"(?:True|False)",
    float: r"(?:-?\d+(?:\.\d*)?(?:e[+-]?\d{1,3})?|-?inf|nan)",
}
_LENGTHS = range(len(Row._fields), len(Row._fields) - LATER - 1, -1)
_HEAD = re.compile(rf"\A(?:{'|'.join(','.join(Row._fields[:n]) for n in _LENGTHS)})\r?\n")
_COLUMNS = [_PATTERNS[kind] for kind in Row.__annotations__.values()]
_ROW, *_OLD_ROWS = (re.compile(",".join(_COLUMNS[:n]) + r"\r?\n") for n in _LENGTHS)
