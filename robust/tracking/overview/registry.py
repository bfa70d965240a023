"""The best version of a trained run has the alias ``best``, and the registry links to it."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from robust.errors import ConfigError

if TYPE_CHECKING:
    import wandb

BEST_ALIAS = "best"
_PREFIX = "wandb-registry-"
_REGISTRY = "model"
"""The registry of networks that each organization has."""
_LONGEST = 100
_SCORES = ("val/worst_robust_acc/adaptive", "test/worst_robust_acc/adaptive", "val/clean_acc")
"""What versions are compared by; the first that both have. More is better."""


def check_collection(name: str) -> None:
    """Raise unless the registry may have a collection of that name.

    Args:
        name: ``NAME``, or ``REGISTRY/NAME``.

    Raises:
        ConfigError: With the names that it may have.
    """
    parts = name.split("/")
    if (
        len(parts) > 2
        or len(name) > _LONGEST
        or not all(re.fullmatch(r"[\w.-]+", p) for p in parts)
    ):
        raise ConfigError(
            f"Expected `run.register` to be NAME or REGISTRY/NAME, of letters, digits and -._, "
            f"but got {name[:40]!r}. Set --run.register."
        )


def collection_path(name: str) -> str:
    """Return the path of a collection of the registry as W&B writes it."""
    registry, _, collection = name.rpartition("/")
    return f"{_PREFIX}{registry or _REGISTRY}/{collection}"


def scores_of(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the last values in ``metrics.csv`` of what versions are compared by."""
    last = {key: value for row in history for key, value in row.items()}
    return {key: last[key] for key in _SCORES if math.isfinite(last.get(key, math.nan))}


def is_best(scores: Mapping[str, float], api: "wandb.Api", collection: str) -> bool:
    """Return whether no version of a collection is better than one with these scores.

    Args:
        scores: What `scores_of` returned.
        api: W&B's.
        collection: Path of the collection; the version with the alias ``best`` counts.
    """
    best = f"{collection}:{BEST_ALIAS}"
    if not api.artifact_exists(best):
        return True
    others: Mapping[str, Any] = api.artifact(best).metadata.get("scores") or {}
    for key in _SCORES:
        if key in scores and key in others:
            return scores[key] >= float(others[key])
    return False
