"""One evaluation against another on the same images, as a table with paired differences."""

import io
from collections.abc import Mapping
from typing import NamedTuple

from rich.console import Console

from robust.errors import ConfigError
from robust.results.cells import Cell, Content, Grid, Stack
from robust.results.comparing.paired import EVERY, Paired, clean_images, robust_images
from robust.results.records import Evaluation

CLEAN = "clean"
"""It stands for the accuracy without an attack."""
_ONLY = ("only it", "only other")
_LISTED = 12
"""So many images are named in a note."""


class Named(NamedTuple):
    """An evaluation has a name in tables.

    Args:
        name: Of its run.
        evaluation: Its records.
    """

    name: str
    evaluation: Evaluation


class Against:
    """A comparison of two networks pairs their results image by image.

    ``print(comparison)`` is its table; a notebook shows it as HTML.

    Args:
        one: The first network's records.
        other: The second network's records, of the same images.

    Raises:
        ConfigError: If the images or the threat models differ.
    """

    def __init__(self, one: Named, other: Named) -> None:
        check_same_images(one, other)
        _check_same_budgets(one, other)
        self.one, self.other = one, other

    @property
    def views(self) -> list[str]:
        """Views that both were attacked through, then all of them together if there are several."""
        theirs = self.other.evaluation.views
        views = [view for view in self.one.evaluation.views if view in theirs]
        return [*views, EVERY] if len(views) > 1 else views

    def clean(self) -> Paired:
        """Return the difference of clean accuracy."""
        return Paired.from_images(
            clean_images(self.one.evaluation), clean_images(self.other.evaluation)
        )

    def robust(self, view: str = "adaptive") -> Paired:
        """Return the difference of robust accuracy, in the worst case of all attacks.

        Args:
            view: What the attacks differentiated; ``every view`` for the worst case of all.

        Raises:
            ConfigError: If one of both was not attacked through that view.
        """
        if view not in self.views:
            raise ConfigError(
                f"Expected a view that both were attacked through ({', '.join(self.views)}), but "
                f"got {view!r}. Name one of them."
            )
        return Paired.from_images(
            robust_images(self.one.evaluation, view), robust_images(self.other.evaluation, view)
        )

    def pairs(self) -> dict[str, Paired]:
        """Return all differences: the clean one, then one for each view."""
        return {CLEAN: self.clean(), **{view: self.robust(view) for view in self.views}}

    @property
    def grid(self) -> Grid:
        """The table."""
        return against_grid({self.one.name: self})

    def __str__(self) -> str:
        text = io.StringIO()
        console = Console(
            file=text, markup=False, emoji=False, force_terminal=False, force_jupyter=False
        )
        self.grid.print(console)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.grid.html()


def check_same_images(one: Named, other: Named) -> None:
    """Raise unless two evaluations are of the same images.

    Raises:
        ConfigError: If their hashes differ, or they have no image in common.
    """
    mine, theirs = one.evaluation.header, other.evaluation.header
    if _images(one) != _images(other):
        raise ConfigError(
            f"Expected the same images to compare on, but {one.name} was attacked on "
            f"{mine.split} images of {mine.data} ({mine.data_sha256[:8]}) and {other.name} on "
            f"{theirs.split} images of {theirs.data} ({theirs.data_sha256[:8]}). Evaluate both on "
            "one data set."
        )
    if not Paired.from_images(clean_images(one.evaluation), clean_images(other.evaluation)).first.n:
        raise ConfigError(
            f"Expected images that both were attacked on, but {one.name} and {other.name} have "
            "none in common. Evaluate both with one limit."
        )


def against_grid(comparisons: Mapping[str, Against]) -> Grid:
    """Return a table of runs against one, a row for each run and view.

    Args:
        comparisons: By the names of the runs; the second network is the same in all of them.
    """
    first = next(iter(comparisons.values()))
    other, header = first.other.name, first.one.evaluation.header
    rows: list[list[Content]] = []
    notes: list[str] = []
    for name, comparison in comparisons.items():
        for what, pair in comparison.pairs().items():
            rows.append([name, what, *_cells(pair)])
            notes += _only(name, other, what, pair)
        notes += _other_attacks(comparison)
    return Grid(
        f"Robust accuracy in % against {other}, suite {header.suite}, {header.data}",
        ["run", "view", "accuracy", f"of {other}", "difference", *_ONLY, "p", "n"],
        rows,
        [
            "difference: of robust accuracy (clean: of accuracy) in points, paired by image, with "
            "the 95 % interval of Newcombe's method 10. p: McNemar's exact test.",
            f"only it, only other: images that the run, or {other}, alone classifies correctly.",
            *notes,
        ],
    )


def points(value: float) -> str:
    """Return a difference in points with its sign."""
    return f"{100 * value:+.1f}"


def difference_cell(pair: Paired) -> Stack:
    """Return a difference and its interval, in points."""
    low, high = pair.interval
    return Stack((points(pair.difference), f"{points(low)} to {points(high)}"))


def _cells(pair: Paired) -> list[Content]:
    return [
        Cell.from_rate(pair.first),
        Cell.from_rate(pair.second),
        difference_cell(pair),
        str(len(pair.only_first)),
        str(len(pair.only_second)),
        f"{pair.p_value:.2g}",
        str(pair.first.n),
    ]


def _only(name: str, other: str, what: str, pair: Paired) -> list[str]:
    """Return which images only one of both loses."""
    lost = {name: pair.only_second, other: pair.only_first}
    return [
        f"{what}: only {run} loses {_listed(images)}." for run, images in lost.items() if images
    ]


def _listed(images: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, images[:_LISTED]))
    more = f" and {len(images) - _LISTED} more" if len(images) > _LISTED else ""
    return f"{'image' if len(images) == 1 else 'images'} {shown}{more}"


def _images(named: Named) -> tuple[object, ...]:
    """Return what decides which image an index means."""
    header = named.evaluation.header
    order = header.seed if header.split == "train" else None
    return header.data_sha256, header.split, order


def _check_same_budgets(one: Named, other: Named) -> None:
    mine, theirs = (
        list(dict.fromkeys(info.budget for info in each.evaluation.header.attacks.values()))
        for each in (one, other)
    )
    if sorted(mine) != sorted(theirs):
        raise ConfigError(
            f"Expected the same threat models to compare at, but {one.name} has "
            f"{', '.join(mine)} and {other.name} {', '.join(theirs)}. Evaluate both with one suite."
        )


def _other_attacks(comparison: Against) -> list[str]:
    mine, theirs = (each.evaluation.header.attacks for each in (comparison.one, comparison.other))
    if mine == theirs:
        return []
    return [
        f"{comparison.one.name} and {comparison.other.name} were attacked with other attacks or "
        "other code, so that a difference may be theirs."
    ]
