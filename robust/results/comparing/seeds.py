"""Runs that differ in their seed alone are one row, with the spread of their numbers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from robust.results.cells import Content, Grid, Stack
from robust.results.metrics import clean_accuracy, worst_robust_accuracy
from robust.results.records import Evaluation

SEED = "seed_everything"
_OF_ONE_RUN = (SEED, "run", "evaluation", "ckpt_path", "fit", "test", "validate")
"""Keys of a config in which two seeds of it may differ."""


class Seeded(NamedTuple):
    """A run with a seed.

    Args:
        name: Of the run.
        config: What it was trained with.
        evaluation: Its records under one protocol.
    """

    name: str
    config: Mapping[str, Any]
    evaluation: Evaluation


def same_config(runs: Sequence[Seeded]) -> list[list[Seeded]]:
    """Return groups of runs of one config, each with at least two seeds."""
    groups: dict[str, list[Seeded]] = {}
    for run in runs:
        if run.config.get(SEED) is not None:
            groups.setdefault(_config_key(run.config), []).append(run)
    return [group for group in groups.values() if len(_seeds(group)) > 1]


def seeds_grid(runs: Sequence[Seeded]) -> Grid | None:
    """Return a table with a row for each config of several seeds; None without one.

    Args:
        runs: Under one protocol.
    """
    groups = same_config(runs)
    if not groups:
        return None
    views = list(dict.fromkeys(view for run in runs for view in run.evaluation.views))
    header = runs[0].evaluation.header
    return Grid(
        f"Several seeds of one config, suite {header.suite}, {header.data}",
        ["runs", "seeds", CLEAN_ACC, *views],
        [_row(group, views) for group in groups],
        [
            "Mean over the seeds in %, +- the standard deviation between them; below it the least "
            "and the most. It says how much a training varies, not how few images there are.",
        ],
    )


CLEAN_ACC = "clean acc"


def _row(group: Sequence[Seeded], views: Sequence[str]) -> list[Content]:
    names = ", ".join(run.name for run in group)
    seeds = ", ".join(_seeds(group))
    clean = [_clean(run.evaluation) for run in group]
    by_view = [
        [
            worst_robust_accuracy(run.evaluation, view).value
            for run in group
            if view in run.evaluation.views
        ]
        for view in views
    ]
    return [names, seeds, *map(_spread, [clean, *by_view])]


def _clean(evaluation: Evaluation) -> float:
    attack = next(iter(evaluation.header.attacks))
    return clean_accuracy(evaluation.select(evaluation.views[0], attack)).value


def _spread(values: Sequence[float]) -> Content:
    """Return mean, standard deviation and range of shares, in %."""
    if not values:
        return "not attacked"
    column = 100 * np.asarray(values)
    deviation = f" +- {column.std(ddof=1):.1f}" if len(values) > 1 else ""
    return Stack((f"{column.mean():.1f}{deviation}", f"{column.min():.1f} to {column.max():.1f}"))


def _seeds(group: Sequence[Seeded]) -> list[str]:
    return sorted({str(run.config[SEED]) for run in group})


def _config_key(config: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in config.items() if key not in _OF_ONE_RUN}
    return json.dumps(kept, sort_keys=True, default=str)
