"""A card's JSON carries a hash of its own content, which one changed byte does not survive."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from robust.errors import ConfigError
from robust.io import files
from robust.io.version import package_version
from robust.report.card.content import Stated, content_of
from robust.report.card.statements import CLAUSES

KIND = "robust card"
VERSION = 1
_LARGEST = 64_000_000
_NOTE = (
    "Every number is derived from the record that it names. A card states what was measured, and "
    "judges by no standard."
)


def card_of(roots: Sequence[Path], stated: Stated, folder: Path) -> dict[str, Any]:
    """Return the card of some runs.

    Args:
        roots: Folders of runs.
        stated: What no record says.
        folder: Where the card will be, from which it finds its runs.

    Raises:
        ConfigError: If there are no runs, or one has no records.
    """
    content: dict[str, Any] = {
        "kind": KIND,
        "version": VERSION,
        "note": _NOTE,
        "made": {"by": f"robust-defenses {package_version()}", "on": date.today().isoformat()},
        "runs": content_of(roots, stated, folder),
        "references": [dict(clause) for clause in CLAUSES],
    }
    return {**content, "sha256": seal(content)}


def text_of(card: Mapping[str, Any]) -> str:
    """Return a card as it is written."""
    return json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def seal(content: Mapping[str, Any]) -> str:
    """Return the hash of a card's content, without the hash itself."""
    own = {key: value for key, value in content.items() if key != "sha256"}
    plain = json.dumps(own, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(plain.encode()).hexdigest()


def read_card(path: Path) -> dict[str, Any]:
    """Read a card's JSON; its hash is not looked at.

    Raises:
        ConfigError: If it cannot be read, or is no card.
    """
    try:
        card = json.loads(files.read(path, _LARGEST))
    except OSError as error:
        raise ConfigError(
            f"Expected a card in {path}, but cannot read it ({error.strerror}). Name a card.json."
        ) from None
    except (ValueError, RecursionError):
        raise _no_card(path) from None
    if not isinstance(card, dict) or card.get("kind") != KIND:
        raise _no_card(path)
    return card


def _no_card(path: Path) -> ConfigError:
    return ConfigError(
        f"Expected a card in {path}, but it is none. Name a card.json that `robust card` wrote."
    )
