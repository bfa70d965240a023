"""Runs are compared with another run, or each with its undefended twin."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from robust.commands.evidence.twin import twin_of
from robust.errors import ConfigError
from robust.evaluation.attacked_images import AttackedImages
from robust.evaluation.suite import Suite
from robust.loading.trained_run import TrainedRun
from robust.results.cells import Grid
from robust.results.comparing.against import Against, Named, against_grid
from robust.results.comparing.twins import twin_grid
from robust.results.metrics_csv import training_seconds
from robust.results.records import Evaluation


class Compared(NamedTuple):
    """Which run is compared with which.

    Args:
        runs: All runs, those that others are compared with last.
        pairs: Positions of a run and the one it is compared with.
        twins: Whether that one is its undefended twin.
        added: Runs that the command does not name, to which its requirements do not apply.
    """

    runs: Sequence[TrainedRun]
    pairs: Sequence[tuple[int, int]] = ()
    twins: bool = False
    added: Sequence[TrainedRun] = ()

    def required(self, runs: Mapping[str, TrainedRun]) -> dict[str, TrainedRun]:
        """Return the runs to which requirements apply: one to compare with is no candidate.

        Args:
            runs: All runs by their names.
        """
        added = {id(run) for run in self.added}
        return {name: run for name, run in runs.items() if id(run) not in added}

    def named(self, runs: Mapping[str, TrainedRun]) -> list[tuple[str, str]]:
        """Return the names of the pairs.

        Args:
            runs: The same runs by their names.
        """
        names = {id(run): name for name, run in runs.items()}
        labels = [names.get(id(run), run.name) for run in self.runs]
        return [(labels[one], labels[other]) for one, other in self.pairs]


def compared(options: argparse.Namespace, runs: Sequence[TrainedRun]) -> Compared:
    """Return the runs of a command with those that they are compared with.

    Args:
        options: Those of `evaluate.py`.
        runs: The runs that it names.

    Raises:
        ConfigError: If there is nothing to compare, or a run has no twin.
    """
    if options.twin:
        return _with_others(runs, [twin_of(run) for run in runs], twins=True)
    if options.against is None:
        return Compared(runs)
    known = {run.path.resolve(): run for run in runs}
    other = TrainedRun.load(options.against)
    other = known.get(other.path.resolve(), other)
    others = [run for run in runs if run is not other]
    if not others:
        raise ConfigError(
            f"Expected a run to compare with {other.name}, but got that run alone. Name another "
            "run before --against."
        )
    return _with_others(runs, [other] * len(runs))


def check_comparable(pairs: Compared, suite: Suite) -> None:
    """Raise if runs that are compared have other images, before hours of attacks.

    Raises:
        ConfigError: With the data of both.
    """
    for one, other in pairs.pairs:
        mine, theirs = pairs.runs[one], pairs.runs[other]
        hashes = [_fingerprint(run, suite) for run in (mine, theirs)]
        if hashes[0] != hashes[1]:
            raise ConfigError(
                f"Expected the same images to compare on, but {mine.name} has those of "
                f"{mine.data.name} ({hashes[0][:8]}) and {theirs.name} those of "
                f"{theirs.data.name} ({hashes[1][:8]}). Name a run on the same data."
            )


def comparison_tables(
    pairs: Compared, runs: Mapping[str, TrainedRun], results: Mapping[str, Evaluation]
) -> Iterator[Grid]:
    """Yield a table for each run that others are compared with.

    Args:
        pairs: Which runs are compared.
        runs: All runs by name.
        results: What was found, by the same names.
    """
    groups: dict[str, dict[str, Against]] = {}
    for one, other in pairs.named(runs):
        if one in results and other in results:
            made = Against(Named(one, results[one]), Named(other, results[other]))
            groups.setdefault(other, {})[one] = made
    for comparisons in groups.values():
        if pairs.twins:
            names = {name for made in comparisons.values() for name in (made.one[0], made.other[0])}
            yield twin_grid(comparisons, {n: training_seconds(runs[n].folder) for n in names})
        else:
            yield against_grid(comparisons)


def _with_others(
    runs: Sequence[TrainedRun], others: Sequence[TrainedRun], *, twins: bool = False
) -> Compared:
    every = list(runs)
    paths: dict[Path, int] = {run.path.resolve(): i for i, run in enumerate(every)}
    pairs: list[tuple[int, int]] = []
    for i, other in enumerate(others):
        path = other.path.resolve()
        if path not in paths:
            paths[path] = len(every)
            every.append(other)
        if paths[path] != i:
            pairs.append((i, paths[path]))
    return Compared(every, pairs, twins, every[len(runs) :])


def _fingerprint(run: TrainedRun, suite: Suite) -> str:
    run.data.prepare_data()
    run.data.setup("test")
    return AttackedImages(run.data, suite.split, suite.seed).fingerprint()
