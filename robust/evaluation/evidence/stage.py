"""The stage of an evaluation that asks whether its attacks would have found what is there."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from robust.attacks import isolated
from robust.errors import ConfigError, in_short
from robust.evaluation.evidence.attacked import Attacked, threat_model_of
from robust.evaluation.evidence.recorded import seconds_of, strongest
from robust.evaluation.evidence.sample import Sample, Step
from robust.evaluation.evidence.sizes import OF_UNIT_TEST, Allowance, Clock, Sizes, doubling
from robust.evaluation.fingerprints import code_sha256
from robust.measures.unit_test.attacked import Tried, unit_test
from robust.results import signs
from robust.results.evidence.recorded import Evidence, Score, Trials
from robust.results.records import Evaluation
from robust.vocabulary import EvidenceLevel

_T = TypeVar("_T")
_OF_AREAS = "The attack unit test is not measured where only some pixels may change."
_STEPS = 5
"""Parts under one threat model: the attack unit test, and four of the sample."""


@dataclass(frozen=True)
class Stage(Attacked):
    """A stage gathers evidence on a defense that was attacked.

    Args:
        level: How much is tried.
        features: Layer whose input are the features of the unit test; the last linear one if None.
    """

    level: EvidenceLevel
    features: str | None = None

    @property
    def steps(self) -> int:
        """How often a run calls back at most: some times for each threat model."""
        return _STEPS * len({info.budget for info in self.suite.infos.values()})

    def run(
        self, evaluation: Evaluation, known: Evidence | None, step: Step = lambda _: None
    ) -> Evidence:
        """Return the evidence; what is known is not gathered again.

        Args:
            evaluation: Records of the suite, through all views.
            known: Evidence that is kept beside the records.
            step: Called before each part of it with what it does, for a progress bar.
        """
        code = code_sha256([Stage])
        views = set[str](self.views)
        if known and known.covers(self.level, self.count, views, code, self.features):
            return known
        start = time.perf_counter()
        with isolated(self.defense, self.defense.device, self.suite.seed), torch.no_grad():
            parts = dict(signs.threat_models(evaluation))
            trials = {name: self._trials(part, len(parts), step) for name, part in parts.items()}
        seconds = round(time.perf_counter() - start, 2)
        asked_of = self.level, self.count, tuple(self.views)
        return Evidence(*asked_of, seconds, trials, code, self.features or "")

    def _trials(self, part: Evaluation, threat_models: int, step: Step = lambda _: None) -> Trials:
        if any(info.area for info in part.header.attacks.values()):
            return Trials(reason=_OF_AREAS)
        clock, allowed = Clock(), Allowance.of(self.level, seconds_of(part), threat_models)
        sizes = allowed.sizes(self._forward_seconds())
        step("attack unit test")
        of_test = OF_UNIT_TEST * allowed.seconds
        scores, reason = _attempt(lambda: self._unit_test(part, sizes, of_test))
        if "adaptive" not in self.views:
            return Trials(scores or {}, reason)
        sample = Sample(self, part, sizes, allowed.seconds - clock.seconds, step)
        rates, failed = _attempt(sample.rates)
        return Trials(scores or {}, reason or failed, rates or {})

    def _forward_seconds(self) -> float:
        """Return how long the defense takes for an image."""
        x, _ = self.at(range(min(64, self.count)))
        return min(_seconds(lambda: self.defense(x)) for _ in range(3)) / len(x)

    def _unit_test(self, part: Evaluation, sizes: Sizes, seconds: float) -> dict[str, Score]:
        only = {view: [strongest(part, view)] for view in self.views}
        infos = {name: part.header.attacks[name] for names in only.values() for name in names}
        tried = {
            name: Tried(self.suite.builders[name], threat_model_of(info), info.target is not None)
            for name, info in infos.items()
        }
        x, _ = self.at(range(min(sizes.images, self.count)))
        (scores,) = unit_test(
            self.defense,
            x,
            tried,
            list(self.views),
            points=sizes.points,
            seed=self.suite.seed,
            features=self.features,
            only=only,
            modules=self.views,
            parts=lambda n: doubling(sizes.first.images, n, seconds),
        ).values()
        return {
            view: Score(name, rate, scores.random, scores.separated, sizes.points)
            for view, found in scores.found.items()
            for name, rate in found.items()
        }


def _seconds(work: Callable[[], object]) -> float:
    clock = Clock()
    work()
    return clock.seconds


def _attempt(gather: Callable[[], _T]) -> tuple[_T | None, str]:
    """Return what is gathered; if it fails, the reason, since no table may be lost for it."""
    try:
        return gather(), ""
    except Exception as error:
        return None, str(error) if isinstance(error, ConfigError) else in_short(error)
