"""Checksums cover blocks of records: the samples that one attack was given together."""

import hashlib
from collections.abc import Mapping
from typing import Any

from robust.results.rows import Column, Rows

UNCHECKED = "unchecked"
"""Replaces the checksum of a block of an earlier version, which had none."""
ABSENT = "absent"
"""Replaces the checksum of a block that is about to be written."""

Key = tuple[str, str, int]
"""View, attack and number of a block."""
_SIZES_OF_LATER = (8, 1)
"""Bytes of the columns `l1` and `dropped`, the last one first."""
Sums = Mapping[Key, frozenset[str]]
"""Checksums of each block, one of which has to match."""


def checksum(rows: Rows) -> str:
    """Return the checksum of the rows of one block, in order."""
    view, attack = rows[0][:2]
    return _hash(view, attack, rows.numbers())


def checksums(rows: Rows, size: int) -> dict[Key, str]:
    """Return the checksum of each block of ``size`` samples; the rows have to be in order."""
    numbers = rows.numbers()
    return {(v, a, number): _hash(v, a, numbers[part]) for v, a, number, part in rows.blocks(size)}


def _hash(view: str, attack: str, numbers: Column) -> str:
    # Records from before there were the last columns, `dropped` and `l1`, keep their checksums.
    for size in _SIZES_OF_LATER:
        if numbers[:, -size:].any():
            break
        numbers = numbers[:, :-size]
    # The names of a damaged row may be bytes that are no text.
    text = f"{view}\n{attack}\n".encode(errors="surrogateescape")
    return hashlib.blake2b(text + numbers.tobytes(), digest_size=8).hexdigest()


def nested(sums: Mapping[Key, str]) -> dict[str, dict[str, dict[str, str]]]:
    """Return checksums by view, attack and number of the block, for JSON."""
    content: dict[str, dict[str, dict[str, str]]] = {}
    for (view, attack, number), value in sums.items():
        content.setdefault(view, {}).setdefault(attack, {})[str(number)] = value
    return content


def both(before: Sums | None, after: Mapping[Key, str]) -> dict[Key, str]:
    """Return checksums that rows fit before and after their file is replaced."""
    absent = frozenset([UNCHECKED] if before is None else [ABSENT])
    known = before or {}
    return {
        key: " ".join(sorted(known.get(key, absent) | {after.get(key, ABSENT)}))
        for key in {**known, **after}
    }


def flat(content: Any) -> Sums:  # noqa: ANN401 (what a file holds)
    """Return checksums from the form of `nested`; a block may have several.

    Raises:
        ValueError: If it has another form; also an `AttributeError` or a `TypeError`.
    """
    return {
        (view, attack, int(number)): frozenset(value.split())
        for view, attacks in content.items()
        for attack, blocks in attacks.items()
        for number, value in blocks.items()
    }
