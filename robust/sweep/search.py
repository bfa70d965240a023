"""The next run of a sweep: the next point of a grid, a random one, or the choice of Optuna."""

import math
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from robust.sweep.file import History, SweepFile
from robust.sweep.space import Distribution, Space

optuna.logging.set_verbosity(optuna.logging.ERROR)  # its news are nobody's here

Sampler = Literal["tpe", "gp"]
"""How `bayes` chooses: a tree of Parzen estimators, or a Gaussian process."""
SAMPLERS: tuple[Sampler, ...] = ("tpe", "gp")
PARETO = ("val/clean_acc", "val/worst_robust_acc/adaptive")
"""Validation images choose; those of the test choose nothing."""
_WAYS = {"minimize": StudyDirection.MINIMIZE, "maximize": StudyDirection.MAXIMIZE}
_AT_RANDOM = 5
"""So many runs `bayes` chooses at random, before it has something to learn from."""


@final
@dataclass(frozen=True)
class Objectives:
    """What a search optimizes.

    Args:
        metrics: Keys of ``metrics.csv``.
        directions: ``minimize`` or ``maximize`` for each of them.
    """

    metrics: tuple[str, ...]
    directions: tuple[str, ...]

    @staticmethod
    def of_file(file: SweepFile, *, pareto: bool) -> "Objectives":
        """Return the metric of a file, or both accuracies of the Pareto front."""
        if pareto:
            return Objectives(PARETO, ("maximize", "maximize"))
        return Objectives((file.metric,), ("maximize" if file.maximized else "minimize",))

    def values(self, history: History) -> list[float] | None:
        """Return the values of a run, None if it lacks one.

        One metric counts with its best epoch, as for W&B. Of two both are of the last epoch, since
        they have to be of one network.
        """
        found = [[row[key] for row in history if key in row] for key in self.metrics]
        if not all(found):
            return None
        if len(found) > 1:
            return [_finite(values, way)[-1] for values, way in self._pairs(found)]
        return [
            (max if way == "maximize" else min)(_finite(values, way))
            for values, way in self._pairs(found)
        ]

    def _pairs(self, found: list[list[float]]) -> "zip[tuple[list[float], str]]":
        return zip(found, self.directions, strict=True)


def _finite(values: Sequence[float], direction: str) -> list[float]:
    """Return the finite values; if there is none, one that is worse than all others."""
    worst = -math.inf if direction == "maximize" else math.inf
    return [value for value in values if math.isfinite(value)] or [worst]


def random_point(space: Space, index: int, seed: int) -> dict[str, Any]:
    """Return what a random search chooses for a run, which depends on its number and the seed."""
    numbers = random.Random((seed << 32) + index)
    return {name: _at(p.distribution, numbers.random()) for name, p in space.parameters.items()}


def learned_point(
    space: Space,
    earlier: Sequence[FrozenTrial],
    directions: Sequence[str],
    seed: int,
    sampler: Sampler = "tpe",
) -> dict[str, Any]:
    """Return what Optuna chooses after the earlier runs, the same whenever these are the same.

    Args:
        space: What to choose from.
        earlier: Runs with their values; those that run have none yet, and are kept away from.
        directions: ``minimize`` or ``maximize`` for each value.
        seed: Of the choice.
        sampler: Of `SAMPLERS`.
    """
    with warnings.catch_warnings():
        # Optuna warns of its newer parts, and scipy of a fit that does not converge.
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            directions=[_WAYS[way] for way in directions],
            sampler=_sampler(sampler, (seed << 16) + len(earlier)),
        )
        study.add_trials(earlier)
        return dict(study.ask(space.distributions).params)


def _sampler(name: Sampler, seed: int) -> BaseSampler:
    seed %= 2**32
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=_AT_RANDOM)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_AT_RANDOM, constant_liar=True)


def _at(distribution: Distribution, unit: float) -> Any:  # noqa: ANN401
    """Return the value of a distribution below which this share of it lies."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(unit * len(distribution.choices))]
    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution):
        return low + int(unit * (high - low + 1))
    if distribution.log:
        value = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
        return min(max(value, low), high)
    return min(low + unit * (high - low), high)
