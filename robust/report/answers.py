"""The answers of a page: a sentence a run, and the order in which runs are listed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from robust.report.protocols import Entry, Protocol
from robust.results.metrics import Rate
from robust.results.run_folder import RunFiles
from robust.results.verdict import WORDS

FEW = 100
"""Test images below which rates are not precise, and a row says so."""
NO_RECORDS = "no records"
"""It stands for the verdict on a run that nobody attacked."""
_SAYS_NOTHING = ("near chance", "too few images")
_GAP = 0.05
"""A view looks better than the adaptive one from here on, where no verdict says so."""


@dataclass(frozen=True)
class TableRow:
    """A row of the first table: a run under a protocol, or one without records.

    Args:
        run: The run.
        protocol: Under which it was attacked.
        entry: Its rates under that protocol.
    """

    run: RunFiles
    protocol: Protocol | None = None
    entry: Entry | None = None

    @property
    def few(self) -> bool:
        """Whether too few images were attacked for precise rates."""
        return self.entry is not None and self.entry.n < FEW

    @property
    def weak(self) -> bool:
        """Whether the rates say too little to rank the run above others."""
        return self.few or (self.entry is not None and self.entry.verdict.word in _SAYS_NOTHING)


@dataclass(frozen=True)
class Answer:
    """An answer says of a run what a reader should believe.

    Args:
        row: The run, under the protocol under which most images were attacked adaptively.
    """

    row: TableRow

    @property
    def name(self) -> str:
        """The short name of the run."""
        return self.row.run.name

    @property
    def word(self) -> str:
        """The verdict; ``no records`` if nobody attacked the run."""
        return self.row.entry.verdict.word if self.row.entry else NO_RECORDS

    @property
    def claim(self) -> tuple[str, Rate] | None:
        """The view through which the run looks most robust, other than the adaptive one."""
        entry = self.row.entry
        others = {v: r for v, r in entry.robust.items() if v != "adaptive"} if entry else {}
        return max(others.items(), key=lambda item: item[1].value, default=None)

    @property
    def truth(self) -> Rate | None:
        """The worst case through the adaptive view."""
        return self.row.entry.robust.get("adaptive") if self.row.entry else None

    @property
    def said(self) -> str:
        """The sentence without the name of the run, such as "looks 86 % robust and is 4 %."."""
        entry = self.row.entry
        if entry is None:
            return f"has no records: {'; '.join(self.row.run.missing) or 'not attacked yet'}."
        if entry.verdict.word == "near chance":
            return f"guesses: {share(entry.clean)} of clean images are right, so nothing can rank."
        if self.row.weak:
            return f"cannot be judged on {entry.n} image{'s' * (entry.n != 1)}{self._range}."
        return self._robustness

    @property
    def _range(self) -> str:
        if self.truth is None:
            return ""
        low, high = self.truth.interval
        return f": between {round(100 * low)} and {round(100 * high)} % robust"

    @property
    def _robustness(self) -> str:
        claim, truth = self.claim, self.truth
        if truth is None:
            looks = share(claim[1]) if claim else "?"
            return f"looks {looks} robust, and no adaptive attacker tried."
        gap = claim[1].value - truth.value if claim else 0.0
        if claim and (self.word in ("masked", "overstated") or gap > _GAP):
            return f"looks {share(claim[1])} robust and is {share(truth)}."
        return {
            "not robust": f"is not robust: {share(truth)} are left under attack.",
            "suspect": f"is at most {share(truth)} robust, and a better attack may exist.",
            "unverified": f"is at most {share(truth)} robust, which nobody has verified.",
        }.get(self.word, f"is {share(truth)} robust, as far as these attacks can tell.")


def share(rate: Rate) -> str:
    """Return a rate in percent without decimals; nearly nothing is told from nothing."""
    percent = 100 * rate.value
    if 0 < percent < 1:
        return "under 1 %"
    return "over 99 %" if 99 < percent < 100 else f"{percent:.0f} %"


def table_rows(runs: Sequence[RunFiles], found: Sequence[Protocol]) -> list[TableRow]:
    """Return the rows of the first table, protocol by protocol, the most robust run first.

    A run near chance or with too few images comes after the others.

    Args:
        runs: All runs.
        found: Their protocols.
    """
    rows = [
        row
        for protocol in found
        for row in sorted(
            (TableRow(entry.run, protocol, entry) for entry in protocol.entries),
            key=_rank,
            reverse=True,
        )
    ]
    attacked = {row.run.folder for row in rows}
    return rows + [TableRow(run) for run in runs if run.folder not in attacked]


def answers(rows: Sequence[TableRow]) -> list[Answer]:
    """Return one answer a run, from its first row; those that can be ranked come first."""
    first: dict[object, TableRow] = {}
    for row in rows:
        first.setdefault(row.run.folder, row)
    return [Answer(row) for row in sorted(first.values(), key=lambda row: row.weak)]


def pills(found: Sequence[Answer]) -> dict[str, int]:
    """Return how many runs have each verdict, which add up to all runs."""
    counts = Counter(answer.word for answer in found)
    return {word: counts[word] for word in (*WORDS, NO_RECORDS) if counts[word]}


def _rank(row: TableRow) -> tuple[bool, bool, float]:
    assert row.entry is not None
    rate = row.entry.robust.get("adaptive", row.entry.worst)
    return not row.weak, "adaptive" in row.entry.robust, rate.value
