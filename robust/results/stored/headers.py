"""The JSON header beside a record file says what was attacked, and has the checksums."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from robust.io import files
from robust.results.evidence.recorded import Evidence
from robust.results.kept.promised import KeptBytes
from robust.results.stored.checksums import Sums, flat

_LARGEST = 64_000_000
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
"""Errors that a damaged header raises."""


def fingerprint_of(content: Mapping[str, Any]) -> str:
    """Return a short hash of the content of a header."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


SEAL = "seal"
"""Under this key a header file has the hash of all its other content."""


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a header file with its seal."""
    own = {key: value for key, value in content.items() if key != SEAL}
    text = json.dumps(own, sort_keys=True, allow_nan=False)
    return {**own, SEAL: hashlib.sha256(text.encode()).hexdigest()}


def header_text(content: Mapping[str, Any]) -> str:
    """Return the text of a header file."""
    return json.dumps(sealed(content), indent=1, allow_nan=False)


class Stored(NamedTuple):
    """What a header file has: the content of the header, and what belongs to its rows."""

    content: dict[str, Any]
    sums: Sums | None
    """Checksums of the rows; None of an earlier version."""
    notes: list[str]
    """Sentences for a reader."""
    evidence: Evidence | None
    kept: KeptBytes | None
    """Kept images beside the rows; None if there are none, or of an earlier version."""


def read_header(path: Path) -> Stored:
    """Return what a header file has.

    Args:
        path: The JSON file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no header.
    """
    content = json.loads(files.read(path, _LARGEST))
    if not isinstance(content, dict):
        raise ValueError("it is no mapping")
    content.pop(SEAL, None)  # `robust verify` looks at it
    sums, notes = content.pop("checksums", None), content.pop("notes", [])
    if not isinstance(notes, list):
        raise ValueError("its notes are no list")
    known = [str(note)[:200] for note in notes]
    evidence, damage = _evidence(content.pop("evidence", None))
    kept = KeptBytes.from_plain(content.pop("kept", None))
    flat_sums = None if sums is None else flat(sums)
    return Stored(content, flat_sums, [*known, *damage], evidence, kept)


def _evidence(content: Any) -> tuple[Evidence | None, list[str]]:  # noqa: ANN401 (of a file)
    """Return the evidence of a header; what is damaged leaves a note, and the rows stay."""
    if content is None:
        return None, []
    try:
        return Evidence.from_plain(content), []
    except DAMAGE as error:
        fault = header_fault(error)
        return None, [f"damaged evidence is left out ({fault}); evaluate again."]


def header_fault(error: Exception) -> str:
    """Return what is wrong with a header, in a few words."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, KeyError):
        return f"no {error}"
    return " ".join(str(error).split())[:100] or type(error).__name__
