"""The nine signs of masking of several runs: a table, or a sentence where none is raised."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from robust.results import signs
from robust.results.cells import Grid
from robust.results.evidence.nine import TOO_FEW, Sign, nine, sampled
from robust.results.records import Evaluation
from robust.results.verdict import trials_of


class _Looked(NamedTuple):
    """What one run shows under one threat model."""

    run: str
    signs: Sequence[Sign]
    sample: int

    def named(self, wanted: str) -> str:
        """Return signs that were not tried, hardly are raised by few images, or cannot be told."""
        found = {
            "untried": [sign.name for sign in self.signs if not sign.tried],
            "rare": [sign.name for sign in self.signs if sign.rare],
            "untold": [sign.words for sign in self.signs if sign.untold],
        }
        return ", ".join(found[wanted])

    @property
    def where(self) -> str:
        """On what the signs were looked for."""
        return f"in the records and on {_images(self.sample)}" if self.sample else "in the records"

    @property
    def doubts(self) -> str:
        """Return which signs the sample can hardly raise, or not at all, in sentences."""
        rare, untold = self.named("rare"), self.named("untold")
        told = f" So few can hardly raise: {rare}." if rare else ""
        return told + (f" {TOO_FEW.capitalize()}: {untold}." if untold else "")


def signs_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """Return what was looked for under each threat model at which no run raises a sign."""
    return [
        _in_short(budget, each)
        for budget, looked in _looked(evaluations).items()
        if not _is_raised(looked)
        for each in looked
    ]


def signs_grids(evaluations: Mapping[str, Evaluation]) -> list[Grid]:
    """Return a table of signs by runs for each threat model at which one is raised."""
    return [
        _grid(budget, looked)
        for budget, looked in _looked(evaluations).items()
        if _is_raised(looked)
    ]


def _looked(evaluations: Mapping[str, Evaluation]) -> dict[str, list[_Looked]]:
    """Return the signs by threat model, of each run of which there is evidence."""
    found: dict[str, list[_Looked]] = {}
    for name, evaluation in evaluations.items():
        for budget, each in _of_run(name, evaluation):
            found.setdefault(budget, []).append(each)
    return found


def _of_run(name: str, evaluation: Evaluation) -> Iterator[tuple[str, _Looked]]:
    for budget, part in signs.threat_models(evaluation):
        trials = trials_of(part)
        if trials is not None:
            yield budget, _Looked(name, nine(part, trials), sampled(trials))


def _is_raised(looked: Sequence[_Looked]) -> bool:
    return any(sign.raised for each in looked for sign in each.signs)


def _in_short(budget: str, looked: _Looked) -> str:
    tried, untried = sum(sign.tried for sign in looked.signs), looked.named("untried")
    missing = f" Not measured: {untried}." if untried else ""
    return (
        f"{looked.run}: {f'{tried} of' if untried else 'all'} nine signs of masking at {budget} "
        "were looked for, "
        f"{looked.where}; none is raised.{looked.doubts}{missing}"
    )


def _grid(budget: str, looked: Sequence[_Looked]) -> Grid:
    names = [sign.name for sign in looked[0].signs]
    return Grid(
        f"Signs of masking at {budget}",
        ["sign", *(each.run for each in looked)],
        [[name, *(_cell(each.signs[i]) for each in looked)] for i, name in enumerate(names)],
        [f"{each.run}: looked for {each.where}.{each.doubts}" for each in looked],
        is_prose=True,
    )


def _cell(sign: Sign) -> str:
    return f"{sign.found}: {sign.figures}" if sign.tried else sign.found


def _images(n: int) -> str:
    return "1 image" if n == 1 else f"{n} images"
