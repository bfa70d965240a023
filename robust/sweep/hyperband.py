"""Hyperband as W&B does it: at some epochs the best runs go on, and the others are stopped.

Optuna's pruners of that name compare a run once, with the runs of its bracket. W&B compares it at
each look with all runs that got as far, and may judge it by its best epoch so far.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

_MOST_BANDS = 100
_ETA = 3


def bands(settings: Mapping[str, Any]) -> list[int]:
    """Return the numbers of epochs after which runs are compared.

    Args:
        settings: The checked ``early_terminate`` of a sweep file.

    Raises:
        ValueError: If there are none.
    """
    eta = settings.get("eta", _ETA)
    if "max_iter" not in settings:
        return [int(settings["min_iter"] * eta**n) for n in range(_MOST_BANDS)]
    found = [settings["max_iter"] / eta**n for n in range(1, min(settings["s"], _MOST_BANDS) + 1)]
    if not (ends := sorted(int(band) for band in found if band >= 1)):
        raise ValueError(
            "hyperband would compare runs before their first epoch: raise its `max_iter`, or lower "
            "its `eta`"
        )
    return ends


def losers(
    settings: Mapping[str, Any], histories: Mapping[str, Sequence[float]], running: Sequence[str]
) -> list[str]:
    """Return the ids of the running runs to stop.

    Args:
        settings: The checked ``early_terminate`` of a sweep file.
        histories: The metric of each run after each epoch, smaller if better.
        running: Ids of runs that may be stopped.
    """
    thresholds = {band: _threshold(settings, histories, band) for band in bands(settings)}
    return [run for run in running if _loses(settings, thresholds, histories.get(run, ()))]


def _threshold(
    settings: Mapping[str, Any], histories: Mapping[str, Sequence[float]], band: int
) -> float:
    """Return the worst value with which a run goes on."""
    values = sorted(history[band - 1] for history in histories.values() if len(history) >= band)
    return values[int(len(values) / settings.get("eta", _ETA))] if values else math.inf


def _loses(
    settings: Mapping[str, Any], thresholds: Mapping[int, float], history: Sequence[float]
) -> bool:
    reached = [band for band in thresholds if band <= len(history)]
    if not reached:
        return False
    value = history[reached[-1] - 1] if settings.get("strict", True) else min(history)
    return value > thresholds[reached[-1]]
