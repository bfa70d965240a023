"""The JSON header beside a record file says what was attacked, and has the checksums."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robust.io import files
from robust.results.stored.checksums import Sums, flat

_LARGEST = 64_000_000
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
"""Errors that a damaged header raises."""


def fingerprint_of(content: Mapping[str, Any]) -> str:
    """Return a short hash of the content of a header."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def read_header(path: Path) -> tuple[dict[str, Any], Sums | None, list[str]]:
    """Return the content of a header, the checksums of the rows, and notes for a reader.

    Args:
        path: The JSON file. In an earlier version the checksums are None.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no header.
    """
    content = json.loads(files.read(path, _LARGEST))
    if not isinstance(content, dict):
        raise ValueError("it is no mapping")
    sums, notes = content.pop("checksums", None), content.pop("notes", [])
    if not isinstance(notes, list):
        raise ValueError("its notes are no list")
    return content, None if sums is None else flat(sums), [str(note)[:200] for note in notes]


def header_fault(error: Exception) -> str:
    """Return what is wrong with a header, in a few words."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, KeyError):
        return f"no {error}"
    return " ".join(str(error).split())[:100] or type(error).__name__
