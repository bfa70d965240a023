"""Rows of records are a table by column, which may have a million rows, each of it a `Row`."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, final, overload

import numpy as np
from numpy.typing import NDArray


class Row(NamedTuple):
    """One sample under one attack through one view."""

    view: str
    attack: str
    index: int  # type: ignore[assignment] # a column, not tuple's method
    """Index in the test set, or in the order of `AttackedImages`."""
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
    not_finite: bool = False
    """Whether a gradient of the view was not finite, at the clean image or on the way. Records from
    before there was this column do not say."""
    dropped: bool = False
    """Whether the attack gave the image up before its last steps, as nothing promised a success. It
    counts as robust."""
    l1: float = 0.0
    """Distance; 0 in records from before there was this column."""


LATER = 3
"""So many of the last columns are lacking in records of earlier versions."""


Column = NDArray[Any]
"""The values of one field of all rows."""

_LONGEST_VIEW = 9
_TRUE, _FALSE = np.array([b"True", b"False"], dtype="S8").view(np.uint64)


@final
class Rows(Sequence[Row]):
    """Rows of records: ``rows["label"]`` is a column of them, ``rows[0]`` a `Row`.

    Args:
        table: A structured array with the fields of `Row`.
    """

    def __init__(self, table: Column) -> None:
        self._table = table
        self._starts: list[int] | None = None

    @classmethod
    def from_rows(cls, rows: Iterable[Row]) -> "Rows":
        """Return rows by column; the same object if they already are."""
        if isinstance(rows, cls):
            return rows
        found = list(rows)
        return cls(np.array(found, dtype=_types(row.attack for row in found)))

    @classmethod
    def parse(cls, lines: str, attacks: Collection[str]) -> "Rows":
        r"""Return the rows of some lines, each with its end.

        Args:
            lines: They end in ``\n``.
            attacks: Names that may be in them.

        Raises:
            ValueError: If a line is not a row.
        """
        if not lines.strip("\r\n"):  # of nothing but empty lines loadtxt would warn
            return cls(np.empty(0, dtype=_types(attacks)))
        raw = np.loadtxt(
            io.StringIO(lines),
            # The C parser knows no True and False. Of other words more than these are kept.
            dtype=_types(attacks, flag="S8", columns=_columns(lines)),
            delimiter=",",
            quotechar='"',
            comments=None,
            ndmin=1,
        )
        table = np.zeros(len(raw), dtype=_types(attacks))
        for field in raw.dtype.names or ():
            kind = Row.__annotations__[field]
            if kind is not bool:
                table[field] = raw[field]
                continue
            words = raw[field].view(np.uint64)  # eight letters are compared at once
            table[field] = words == _TRUE
            if not (table[field] | (words == _FALSE)).all():
                raise ValueError(f"{field} is neither True nor False in a row")
        return cls(table)

    @classmethod
    def joined(cls, parts: Sequence["Rows"]) -> "Rows":
        """Return the rows of several tables one after the other."""
        return cls(np.concatenate([part._table for part in parts])) if parts else cls.from_rows(())

    def ordered(self) -> "Rows":
        """Return the rows by view, attack and index."""
        starts = self.starts()
        keys = [self[start][:2] for start in starts]
        rising = np.diff(self["index"]) > 0
        rising[[start - 1 for start in starts[1:]]] = True
        if keys == sorted(set(keys)) and rising.all():
            return self  # as files are
        return type(self)(self._table[np.lexsort((self["index"], self._rank()))])

    def blocks(self, size: int) -> Iterator[tuple[str, str, int, slice]]:
        """Yield view, attack and number of each block of ``size`` samples, and where its rows are.

        Args:
            size: Samples of a block. The rows have to be in order.
        """
        starts = self.starts()
        for start, end in pairwise([*starts, len(self)]):
            view, attack = self[start][:2]
            number = self["index"][start:end] // size
            cuts = [start, *(np.flatnonzero(number[1:] != number[:-1]) + start + 1).tolist(), end]
            for i, j in pairwise(cuts):
                yield view, attack, int(number[i - start]), slice(i, j)

    def latest(self) -> Column:
        """Return positions of the rows in order, without rows that a later row replaces."""
        rank, index = self._rank(), self["index"]
        order = np.lexsort((index, rank))
        rank, index = rank[order], index[order]
        last = np.ones(len(order), bool)
        last[:-1] = (rank[1:] != rank[:-1]) | (index[1:] != index[:-1])
        return order[last]

    def starts(self) -> list[int]:
        """Return positions of the rows whose view or attack differs from the row before."""
        if self._starts is None:
            view, attack = self["view"], self["attack"]
            changed = (view[1:] != view[:-1]) | (attack[1:] != attack[:-1])
            self._starts = [0, *(np.flatnonzero(changed) + 1).tolist()] if len(self) else []
        return self._starts

    def _rank(self) -> Column:
        """Return the alphabetical rank of each row's view and attack among all of them."""
        starts = self.starts()
        keys = [self[start][:2] for start in starts]
        ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
        values = np.array([ranks[key] for key in keys], dtype=np.int64)
        ranked: Column = np.repeat(values, np.diff([*starts, len(self)]))
        return ranked

    def numbers(self) -> Column:
        """Return the bytes of all fields that are no text, which every machine has alike."""
        table = np.ascontiguousarray(self._table)
        lines: Column = table.view(np.uint8).reshape(len(table), table.itemsize)
        text = sum(table.dtype[name].itemsize for name in ("view", "attack"))
        numbers: Column = lines[:, text:]  # the first two fields are the text
        return numbers

    def where(self, chosen: Column) -> "Rows":
        """Return the rows for which a column of truth values is true, or at these positions."""
        return type(self)(self._table[chosen])

    @overload
    def __getitem__(self, key: str) -> Column: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> "Rows": ...
    def __getitem__(self, key: str | int | slice) -> "Column | Row | Rows":
        if isinstance(key, str):
            return self._table[key]
        if isinstance(key, slice):
            return type(self)(self._table[key])
        return Row._make(self._table[key].item())

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[Row]:
        return map(Row._make, self._table.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # a table can be equal to a list


def _columns(lines: str) -> int:
    """Return the number of columns: all, or less in records of earlier versions."""
    found, most = len(next(csv.reader([lines[: lines.find("\n")]]))), len(Row._fields)
    return found if most - LATER <= found < most else most


def _types(attacks: Iterable[str], flag: str = "?", columns: int | None = None) -> np.dtype[Any]:
    """Return the types of the columns; a name that is too long is cut, but not to a known one."""
    kinds = {int: "<i8", float: "<f8", bool: flag}
    names = {"view": _LONGEST_VIEW + 1, "attack": max(map(len, attacks), default=0) + 1}
    return np.dtype(
        [
            (field, f"U{names[field]}" if kind is str else kinds[kind])
            for field, kind in list(Row.__annotations__.items())[:columns]
        ]
    )
