"""A measurement that was repeated on other samples: each draw of an evaluation on its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from robust.evaluation.metrics import Rate
from robust.evaluation.records import AttackInfo, Evaluation
from robust.evaluation.rows import Row

Metric = Callable[[Sequence[Row], AttackInfo], Rate]
"""A rate of the rows of one attack through one view."""


def draw_line(
    evaluation: Evaluation | None, attack: str, view: str, rate: Metric, size: int | None
) -> str:
    """The rate in % of every ``size`` samples, as a further line of a cell; none of a single draw.

    Args:
        evaluation: The records; none if None.
        attack: Name of the attack.
        view: What it saw.
        rate: What to show.
        size: Samples of a draw; None if there are no draws.
    """
    if evaluation is None or size is None:
        return ""
    rows = evaluation.select(view, attack)
    draws = rows["index"] // size
    numbers = np.unique(draws)
    if len(numbers) < 2:
        return ""
    info = evaluation.header.attacks[attack]
    rates = [rate(rows.where(draws == number), info) for number in numbers]
    return "\n" + " ".join(f"{100 * r.value:.1f}" for r in rates)


def draw_notes(table: Mapping[str, Any]) -> list[str]:
    """What the lines of `draw_line` are, if the table has a ``draw``."""
    size = table.get("draw")
    return [] if size is None else [f"Third lines: every {size} images, a draw, on their own."]
