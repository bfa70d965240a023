"""Checksums of records, by the block: the samples that one attack was given together."""

import hashlib
from collections.abc import Mapping
from typing import Any

from robust.results.rows import Column, Rows

UNCHECKED = "unchecked"
"""What is in place of the checksum of a block from before there were any."""
ABSENT = "absent"
"""What is there where a block may be missing, in the moment before it is written."""

Key = tuple[str, str, int]
"""View, attack and number of a block."""
Sums = Mapping[Key, frozenset[str]]
"""Of each block, checksums of which one has to match."""


def checksum(rows: Rows) -> str:
    """The checksum of the rows of one block, in order."""
    view, attack = rows[0][:2]
    return _hash(view, attack, rows.numbers())


def checksums(rows: Rows, size: int) -> dict[Key, str]:
    """The checksum of each block of ``size`` samples; the rows have to be in order."""
    numbers = rows.numbers()
    return {(v, a, number): _hash(v, a, numbers[part]) for v, a, number, part in rows.blocks(size)}


def _hash(view: str, attack: str, numbers: Column) -> str:
    # The names of a damaged row may be bytes that are no text.
    text = f"{view}\n{attack}\n".encode(errors="surrogateescape")
    return hashlib.blake2b(text + numbers.tobytes(), digest_size=8).hexdigest()


def nested(sums: Mapping[Key, str]) -> dict[str, dict[str, dict[str, str]]]:
    """Checksums by view, attack and number of the block, as JSON has them."""
    content: dict[str, dict[str, dict[str, str]]] = {}
    for (view, attack, number), value in sums.items():
        content.setdefault(view, {}).setdefault(attack, {})[str(number)] = value
    return content


def both(before: Sums | None, after: Mapping[Key, str]) -> dict[Key, str]:
    """Checksums that rows fit before and after a file of them is replaced."""
    absent = frozenset([UNCHECKED] if before is None else [ABSENT])
    known = before or {}
    return {
        key: " ".join(sorted(known.get(key, absent) | {after.get(key, ABSENT)}))
        for key in {**known, **after}
    }


def flat(content: Any) -> Sums:  # noqa: ANN401 (what a file holds)
    """Checksums as `nested` makes them, each perhaps one of several.

    Raises:
        ValueError: If it is nothing like that, or an `AttributeError` or a `TypeError`.
    """
    return {
        (view, attack, int(number)): frozenset(value.split())
        for view, attacks in content.items()
        for attack, blocks in attacks.items()
        for number, value in blocks.items()
    }
