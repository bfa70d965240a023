"""How much evidence is gathered where nobody says it."""

import os
from typing import get_args

from robust.errors import ConfigError
from robust.vocabulary import AskedEvidence

ENVIRONMENT = "ROBUST_EVIDENCE"
"""It replaces the default of `evaluate.py` and of `robust.evaluate`."""


def level_of(asked: AskedEvidence | None) -> AskedEvidence:
    """Return what is asked for, else what the environment says, else ``quick``.

    Args:
        asked: By a flag, an argument or a suite.

    Raises:
        ConfigError: If the environment says another word.
    """
    known: dict[str, AskedEvidence] = {level: level for level in get_args(AskedEvidence)}
    word = asked or os.environ.get(ENVIRONMENT) or "quick"
    if word not in known:
        raise ConfigError(
            f"Expected {ENVIRONMENT} to be one of {', '.join(known)}, but got {word[:40]!r}."
        )
    return known[word]
