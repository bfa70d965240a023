"""What a defense buys, and what it costs, beside its undefended twin."""

from collections.abc import Mapping

from robust.results.cells import Cell, Content, Grid
from robust.results.comparing.against import CLEAN, Against, difference_cell


def twin_grid(comparisons: Mapping[str, Against], seconds: Mapping[str, float | None]) -> Grid:
    """Return a table of what defenses buy.

    Args:
        comparisons: Of each defended network with its twin, by the name of the former.
        seconds: How long each network was trained, by its name; None where it is not measured.
    """
    first = next(iter(comparisons.values()))
    rows: list[list[Content]] = []
    for name, comparison in comparisons.items():
        for what, pair in comparison.pairs().items():
            label = "clean accuracy" if what == CLEAN else f"robust accuracy, {what}"
            rates = (Cell.from_rate(pair.first), Cell.from_rate(pair.second))
            p = f"{pair.p_value:.2g}"
            rows.append([name, label, *rates, difference_cell(pair), p, str(pair.first.n)])
        rows.append([name, "training, seconds", *_costs(comparison, seconds), "", ""])
    header = first.one.evaluation.header
    return Grid(
        f"What the defense buys, suite {header.suite}, {header.data}",
        ["run", "what", "defended", "undefended", "difference", "p", "n"],
        rows,
        [
            f"undefended: {first.other.name}, of the same data, architecture, seed and epochs.",
            "difference: in points, paired by image, with the 95 % interval of Newcombe's method "
            "10. p: McNemar's exact test. Training: how many times as long.",
        ],
    )


def _costs(comparison: Against, seconds: Mapping[str, float | None]) -> list[Content]:
    mine, theirs = seconds.get(comparison.one.name), seconds.get(comparison.other.name)
    told = ["not measured" if cost is None else f"{cost:.1f}" for cost in (mine, theirs)]
    ratio = f"{mine / theirs:.2f} times" if mine and theirs else "not measured"
    return [*told, ratio]
