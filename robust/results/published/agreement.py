"""Whether a number of ours agrees with the paper's: the paper's lies within our interval."""

AGREES, DIFFERS = "agrees", "differs"
STYLES = {AGREES: "bold green", DIFFERS: "bold yellow"}
"""Colours of these words in a terminal."""
NOTE = (
    "agrees: the paper's number lies within the 95 % interval of ours under the paper's attack. "
    "The paper's number has an interval of its own, which none of the papers prints."
)


def agreement(published: float | None, low: float, high: float) -> str:
    """Return `AGREES` or `DIFFERS`; an empty text without a number of the paper.

    Args:
        published: The number of the paper.
        low: Lower bound of our interval, in the same unit.
        high: Upper bound.
    """
    if published is None:
        return ""
    return AGREES if low <= published <= high else DIFFERS
