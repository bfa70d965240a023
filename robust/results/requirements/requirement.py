"""A requirement such as ``adaptive.robust>=0.45`` is judged by the interval, not by the point."""

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from robust.errors import ConfigError
from robust.io.names import printable
from robust.results.cells import Cell, Content, Grid
from robust.results.requirements.measured import VIEWS, Measured

Outcome = Literal["holds", "does not hold", "cannot tell"]
EXIT_CODES: Mapping[Outcome, int] = {"holds": 0, "does not hold": 3, "cannot tell": 4}
"""Exit codes of commands with requirements; of several, one that does not hold decides."""
_OPERATORS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
_FORM = re.compile(r"\s*([\w.@+-]+?)\s*(>=|<=|>|<)\s*(\S+)\s*")
_NAME = re.compile(
    rf"clean|robust|unit_test|(?:{'|'.join(VIEWS)})\.(?:robust|unit_test)"
    r"|certified@\d+(?:\.\d*)?(?:e[+-]?\d+)?"
)
_NAMES = "clean, robust, adaptive.robust, deployed.robust, certified@0.5, unit_test"


@dataclass(frozen=True)
class Requirement:
    """A requirement bounds one number.

    Args:
        name: Of the number, as `robust.results.requirements.measured` has it.
        sign: One of ``>=``, ``>``, ``<=`` and ``<``.
        bound: A share, 0 to 1.
    """

    name: str
    sign: str
    bound: float

    @staticmethod
    def parse(text: str) -> "Requirement":
        """Return the requirement that a text states.

        Raises:
            ConfigError: If it states none, names no number, or the bound is no share.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise _unusable(text, "Write NAME>=SHARE, such as 'adaptive.robust>=0.45'.")
        name, sign, bound = found.groups()
        if not _NAME.fullmatch(name):
            raise _unusable(text, f"Name one of {_NAMES}.")
        number = _share(bound)
        if number is None:
            raise _unusable(text, "Give a share from 0 to 1, such as 0.45 or 45%.")
        if name.startswith("certified@"):
            name = f"certified@{float(name.partition('@')[2]):g}"
        return Requirement(name, sign, number)

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.bound:g}"

    def outcome(self, measured: Measured | None) -> Outcome:
        """Return whether it holds for the complete interval, for none of it, or for a part."""
        if measured is None:
            return "cannot tell"
        compare = _OPERATORS[self.sign]
        ends = {bool(compare(end, self.bound)) for end in (measured.low, measured.high)}
        if len(ends) == 2:
            return "cannot tell"
        return "holds" if ends == {True} else "does not hold"


class Judged(NamedTuple):
    """A requirement was judged on a run.

    Args:
        run: Name of the run.
        requirement: The requirement.
        measured: The number; None if it was not measured.
    """

    run: str
    requirement: Requirement
    measured: Measured | None

    @property
    def outcome(self) -> Outcome:
        """Whether the requirement holds."""
        return self.requirement.outcome(self.measured)

    @property
    def reason(self) -> str:
        """A sentence that says what was measured."""
        if self.measured is None:
            return f"{self.requirement.name} of {self.run} is not measured."
        value, low, high, n, record = self.measured
        images = "" if n is None else f", n = {n}"
        return (
            f"{self.requirement.name} of {self.run} is {value:.4f} "
            f"({low:.4f} to {high:.4f}{images}; {record})."
        )


def judge(
    requirements: Sequence[Requirement], runs: Mapping[str, Mapping[str, Measured]]
) -> list[Judged]:
    """Return each requirement as judged on each run.

    Args:
        requirements: What is required.
        runs: What was measured, by the names of the runs.
    """
    return [
        Judged(run, requirement, measured.get(requirement.name))
        for run, measured in runs.items()
        for requirement in requirements
    ]


def exit_code(judged: Iterable[Judged]) -> int:
    """Return 3 if a requirement does not hold, else 4 if one cannot be told, else 0."""
    outcomes = {each.outcome for each in judged}
    order: tuple[Outcome, ...] = ("does not hold", "cannot tell")
    return next((EXIT_CODES[outcome] for outcome in order if outcome in outcomes), 0)


def requirements_grid(judged: Sequence[Judged]) -> Grid:
    """Return a table of requirements."""
    return Grid(
        "Requirements",
        ["run", "requirement", "measured, %", "outcome"],
        [[each.run, str(each.requirement), _cell(each), each.outcome] for each in judged],
        [
            "holds, does not hold: so for the complete 95 % interval. cannot tell: it covers "
            "the bound, or it is not measured.",
        ],
    )


def _cell(judged: Judged) -> Content:
    if judged.measured is None:
        return "not measured"
    value, low, high, n, _ = judged.measured
    return Cell(value, low, high, 1 if n is None else n)


def _share(text: str) -> float | None:
    percent = text.endswith("%")
    try:
        number = float(text.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        return None
    return number if 0 <= number <= 1 else None


def _unusable(text: str, what: str) -> ConfigError:
    return ConfigError(f"Expected a requirement, but got {printable(text)[:60]!r}. {what}")
