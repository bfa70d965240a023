"""Columns of text are fitted into the width of a terminal without losing a letter."""

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len

GAP = 3
"""What a table takes in front of each column; behind the last it takes one."""
_SHORTEST = 12
"""Width that a column of names is folded to at least."""


def fitted(columns: Sequence[Sequence[str]], room: int | None) -> list[int]:
    """Return the width of each column, which is at least that of its longest word.

    The first column holds names, which may be folded. The others may wrap between words.

    Args:
        columns: The texts of each, of one line or several.
        room: What the table takes if it can; as much as it needs if None.
    """
    widths = [_longest(line for text in column for line in text.split("\n")) for column in columns]
    least = [_longest(word for text in column for word in text.split()) for column in columns]
    least[0] = min(least[0], _SHORTEST)
    while room is not None and taken(widths) > room:
        spare = [width if width > bound else 0 for width, bound in zip(widths, least, strict=True)]
        if not any(spare):
            break
        widths[spare.index(max(spare))] -= 1
    return widths


def _longest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)


def taken(widths: Sequence[int]) -> int:
    """Return the width of a table of such columns."""
    return sum(width + GAP for width in widths) + 1


def blocks(widths: Sequence[int], keys: int, room: int | None) -> Iterator[list[int]]:
    """Yield the columns of each part of a table that is cut so that every part fits.

    Args:
        widths: Of all columns.
        keys: How many columns each part begins with, as they tell its rows apart.
        room: Width of a part, which has one column beyond the keys nevertheless; all if None.
    """
    part = list(range(keys))
    for column in range(keys, len(widths)):
        is_full = room is not None and taken([widths[i] for i in (*part, column)]) > room
        if is_full and len(part) > keys:
            yield part
            part = list(range(keys))
        part.append(column)
    yield part
