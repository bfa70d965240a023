"""The stage of an evaluation that asks whether its attacks would have found what is there."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, TypeVar

import torch
from torch import nn

from robust.attacks import PGD, Square, isolated
from robust.attacks.adaptive.search import Found
from robust.data.module_arguments import usual_batch
from robust.defenses.base import Defense
from robust.errors import ConfigError, in_short
from robust.evaluation.attacked_images import AttackedImages
from robust.evaluation.blocks import seed_of, views_of
from robust.evaluation.evidence.probes import (
    differs_alone,
    found_by_noise,
    robust_under,
    without_gradient,
)
from robust.evaluation.evidence.recorded import correct_images, passes_of, strongest
from robust.evaluation.evidence.sizes import Costs, Sizes
from robust.evaluation.evidence.variants import doubled, within_eps
from robust.evaluation.fingerprints import code_sha256
from robust.evaluation.suite import Suite
from robust.measures.unit_test.attacked import Tried, unit_test
from robust.results import signs
from robust.results.evidence.recorded import Evidence, Score, Trials
from robust.results.rates import Rate
from robust.results.records import AttackInfo, Evaluation
from robust.results.rows import Column
from robust.threat import ThreatModel
from robust.types import AttackCallable, Images, Labels, View
from robust.vocabulary import EvidenceLevel

_T = TypeVar("_T")
Step = Callable[[str], None]
"""Called before each part of the evidence, with what it does."""
_OF_AREAS = "The attack unit test is not measured where only some pixels may change."
_STEPS = 5
"""Parts under one threat model: the attack unit test, and four of the sample."""
_QUERIES = 200
"""Of Square, where the suite has no attack without gradients."""


@dataclass(frozen=True)
class Stage:
    """A stage gathers evidence on a defense that was attacked.

    Args:
        suite: The attacks.
        defense: What was attacked.
        images: On which data.
        found: What a search found for the adaptive view, if there was one.
        level: How much is tried.
        features: Layer whose input are the features of the unit test; the last linear one if None.
    """

    suite: Suite
    defense: Defense
    images: AttackedImages
    found: Found | None
    level: EvidenceLevel
    features: str | None = None

    @cached_property
    def views(self) -> dict[View, nn.Module]:
        """What the attacks differentiated, by view."""
        known = views_of(self.suite, self.defense, self.found)
        modules = {name: module for (module, _), names in known.items() for name in names}
        return {name: modules[name] for name in self.suite.views}

    @property
    def count(self) -> int:
        """Number of images that were attacked."""
        return self.images.at_most(self.suite.limit)

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
        sizes = self._costs(part).sizes(self.level, threat_models)
        step("attack unit test")
        scores, reason = _attempt(lambda: self._unit_test(part, sizes))
        if "adaptive" not in self.views:
            return Trials(scores or {}, reason)
        sample = Sample(self, part, sizes, step)
        rates, failed = _attempt(sample.rates)
        return Trials(scores or {}, reason or failed, rates or {})

    def _costs(self, part: Evaluation) -> Costs:
        x, _ = self.at(range(min(64, self.count)))
        forward = min(_seconds(lambda: self.defense(x)) for _ in range(3)) / len(x)
        attack = sum(passes_of(part, view, strongest(part, view)) for view in self.views)
        return Costs(float(part.rows["forwards"].sum()), attack, forward)

    def _unit_test(self, part: Evaluation, sizes: Sizes) -> dict[str, Score]:
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
        ).values()
        return {
            view: Score(name, rate, scores.random, scores.separated, sizes.points)
            for view, found in scores.found.items()
            for name, rate in found.items()
        }

    def at(self, index: Column | range) -> tuple[Images, Labels]:
        """Return some images on the device of the defense, with their labels."""
        batches = [self.images.samples(int(i), int(i) + 1) for i in index]
        x = torch.cat([batch.x for batch in batches])
        return x.to(self.defense.device), torch.cat([b.y for b in batches]).to(self.defense.device)


def threat_model_of(info: AttackInfo) -> ThreatModel:
    """Return what an attack may do."""
    return ThreatModel(info.norm, info.eps)


@dataclass(frozen=True)
class Sample:
    """A small sample is attacked in other ways than the suite does, through the adaptive view.

    Args:
        stage: Whose defense and images they are.
        part: Records under one threat model.
        sizes: How much is tried.
        step: Called before each part of it.
    """

    stage: Stage
    part: Evaluation
    sizes: Sizes
    step: Step

    def rates(self) -> dict[str, Rate]:
        """Return what was counted, by the names that `robust.results.evidence.nine` reads."""
        known = correct_images(self.part, "adaptive")
        if not len(known.index):
            return {}
        some, left = known.index[: self.sizes.sample], known.index[known.robust]
        self.step("gradients")
        rates = self._of_gradients(some)
        norm, eps = self.threat_model.norm, self.threat_model.eps
        if norm in ("Linf", "L2") and 0 < eps < float("inf"):
            for what, gather, index in (
                ("simpler attacks", self._simple, some),
                ("other eps", self._growth, some),
                ("what the suite left", self._left, left),
            ):
                self.step(what)
                rates |= gather(index)
        return rates

    @property
    def name(self) -> str:
        """The strongest attack."""
        return strongest(self.part, "adaptive")

    @property
    def info(self) -> AttackInfo:
        """It as it was run."""
        return self.part.header.attacks[self.name]

    @property
    def threat_model(self) -> ThreatModel:
        """What all attacks of this part may do."""
        return threat_model_of(next(iter(self.part.header.attacks.values())))

    def _of_gradients(self, some: Column) -> dict[str, Rate]:
        x, y = self.stage.at(some[: usual_batch(self.stage.images.data.shape)])
        flat = without_gradient(self.stage.views["adaptive"], x, y)
        rates = {f"flat/{name}": rate for name, rate in flat.items()}
        if not self.part.header.random:
            rates["alone"] = differs_alone(self.stage.defense, x)
        elif self.info.target is None:
            attack, eps = self.stage.suite.builders[self.name], self.info.eps
            rates["calls/one"] = self._robust(attack, eps, some, 1)
            rates["calls/most"] = self._robust(attack, eps, some)
        return rates

    def _simple(self, some: Column) -> dict[str, Rate]:
        """Return what attacks of one step and without gradients leave, beside those of many."""
        eps, norm = self.threat_model.eps, self.threat_model.norm
        bound: Literal["Linf", "L2"] = "L2" if norm == "L2" else "Linf"
        infos = self.part.header.attacks.values()
        if not any(map(signs.is_iterated, infos)):
            return {}
        simple: dict[str, AttackCallable] = {
            "one_step": partial(
                PGD, eps=eps, norm=bound, steps=1, alpha=eps, random_start=False, loss="log_odds"
            ),
            "queries": self._square(_QUERIES),
        }
        rates = {key: self._robust(attack, eps, some) for key, attack in simple.items()}
        iterated = correct_images(self.part, "adaptive", iterated=True)
        return {**rates, "iterated": iterated.among(some)}

    def _growth(self, some: Column) -> dict[str, Rate]:
        """Return what the strongest attack leaves within more and less than eps."""
        eps = self.threat_model.eps
        x, _ = self.stage.at(some[:1])
        most = 1.0 if self.threat_model.norm == "Linf" else x[0].numel() ** 0.5
        radii = {"half": eps / 2, "same": eps, "double": 2 * eps, "unbounded": most}
        found = {}
        for key, radius in radii.items():
            if radius <= most and (radius != most or key == "unbounded"):
                attack = self._within(radius)
                if attack is not None:
                    found[f"eps/{key}"] = self._robust(attack, radius, some)
        return found

    def _within(self, eps: float) -> AttackCallable | None:
        attack, info = self.stage.suite.builders[self.name], self.info
        if info.target is not None:
            return None
        return attack if info.minimal else within_eps(attack, info, eps)

    def _left(self, left: Column) -> dict[str, Rate]:
        """Return what noise and a longer attack find of what the suite left."""
        stage, eps = self.stage, self.threat_model.eps
        noisy = left[: 2 * self.sizes.sample]
        seed = seed_of(stage.suite.seed, "noise")
        rates = {"noise": Rate(0, 0), "doubled": Rate(0, 0), **self._by_queries(noisy)}
        if not len(left):
            return rates
        x, y = stage.at(noisy)
        tries = self.sizes.noise
        rates["noise"] = found_by_noise(stage.defense, self.threat_model, x, y, tries, seed)
        longer = doubled(stage.suite.builders[self.name], self.info)
        if longer is None or self.info.target is not None:
            del rates["doubled"]
            return rates
        rate = self._robust(longer, eps, left[: self.sizes.sample])
        return {**rates, "doubled": Rate(rate.n - rate.hits, rate.n)}

    def _by_queries(self, left: Column) -> dict[str, Rate]:
        """Return what an attack without gradients finds of what gradients left."""
        infos = self.part.header.attacks.values()
        if self.info.target is not None or not any(map(signs.is_iterated, infos)):
            return {}
        if not len(left):
            return {"queries/left": Rate(0, 0)}
        rate = self._robust(self._square(self.sizes.queries), self.threat_model.eps, left)
        return {"queries/left": Rate(rate.n - rate.hits, rate.n)}

    def _square(self, queries: int) -> AttackCallable:
        bound: Literal["Linf", "L2"] = "L2" if self.threat_model.norm == "L2" else "Linf"
        return partial(Square, eps=self.threat_model.eps, norm=bound, queries=queries)

    def _robust(
        self, attack: AttackCallable, eps: float, index: Column, calls: int | None = None
    ) -> Rate:
        """Return how many images are left, of which so many are attacked at a time as by a suite.

        A network at 224 x 224 has no memory for more.
        """
        size = usual_batch(self.stage.images.data.shape)
        starts = range(0, len(index), size)
        parts = [
            robust_under(
                attack,
                self.stage.views["adaptive"],
                self.stage.defense,
                ThreatModel(self.threat_model.norm, eps),
                *self.stage.at(index[start : start + size]),
                (seed_of(self.stage.suite.seed, "evidence") + start) % 2**32,
                calls or self.part.header.judged,
            )
            for start in starts
        ]
        return Rate(sum(int(part.sum()) for part in parts), len(index))


def _seconds(work: Callable[[], object]) -> float:
    """Return how long work takes on cores of its own, whatever else runs on them."""
    start, wall = time.process_time(), time.perf_counter()
    work()
    taken = time.process_time() - start
    return min(time.perf_counter() - wall, taken / torch.get_num_threads() or math.inf)


def _attempt(gather: Callable[[], _T]) -> tuple[_T | None, str]:
    """Return what is gathered; if it fails, the reason, since no table may be lost for it."""
    try:
        return gather(), ""
    except Exception as error:
        return None, str(error) if isinstance(error, ConfigError) else in_short(error)
