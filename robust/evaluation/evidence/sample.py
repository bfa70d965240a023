"""A small sample of images is attacked in other ways than a suite does."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from robust.attacks import PGD, Square
from robust.data.module_arguments import usual_batch
from robust.evaluation.blocks import seed_of
from robust.evaluation.evidence.attacked import Attacked, threat_model_of
from robust.evaluation.evidence.probes import (
    differs_alone,
    found_by_noise,
    robust_under,
    without_gradient,
)
from robust.evaluation.evidence.recorded import correct_images, left_by, strongest
from robust.evaluation.evidence.sizes import Clock, Sizes, doubling
from robust.evaluation.evidence.variants import doubled, within_eps
from robust.results import signs
from robust.results.rates import Rate, total
from robust.results.records import AttackInfo, Evaluation
from robust.results.rows import Column
from robust.threat import ThreatModel
from robust.types import AttackCallable

Step = Callable[[str], None]
"""Called before each part of the evidence, with what it does."""
_QUERIES = 200
"""Of Square, where the suite has no attack without gradients."""


class _Part(NamedTuple):
    """What is tried on images of the sample."""

    what: str
    """Said when it begins; nothing of a short one."""
    gather: Callable[[Column], dict[str, Rate]]
    images: Column
    first: int
    """So many images are tried in any case."""
    share: float
    """Of the time that is left."""


@dataclass(frozen=True)
class Sample:
    """A small sample is attacked in other ways than the suite does, through the adaptive view.

    Args:
        attacked: Whose defense and images they are.
        part: Records under one threat model.
        sizes: How much is tried at most.
        seconds: How long that may take.
        step: Called before each part of it.
    """

    attacked: Attacked
    part: Evaluation
    sizes: Sizes
    seconds: float
    step: Step

    def rates(self) -> dict[str, Rate]:
        """Return what was counted, by the names that `robust.results.evidence.nine` reads."""
        known = correct_images(self.part, "adaptive")
        if not len(known.index):
            return {}
        some, left = known.index, known.index[known.robust]
        self.step("gradients")
        clock, rates = Clock(), self._of_gradients(some[: self.sizes.sample])
        for what, gather, images, first, share in self._parts(some, left):
            if what:
                self.step(what)
            most, seconds = min(len(images), self.sizes.sample), self.seconds - clock.seconds
            parts = [gather(images[part]) for part in doubling(first, most, share * seconds)]
            rates |= {name: total(part[name] for part in parts) for name in parts[0]}
        return rates

    def _parts(self, some: Column, left: Column) -> Iterator[_Part]:
        """Yield what is tried one after the other."""
        first = self.sizes.first
        if self.part.header.random:
            yield _Part("", self._calls, some, first.sample, 0.2)
        if self.threat_model.norm in ("Linf", "L2") and 0 < self.threat_model.eps < float("inf"):
            yield _Part("simpler attacks", self._simple, some, first.sample, 0.15)
            yield _Part("other eps", self._growth, some, first.sample, 0.4)
            yield _Part("what the suite left", self._left, left, first.left, 1.0)

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
        x, y = self.attacked.at(some[: usual_batch(self.attacked.images.data.shape)])
        flat = without_gradient(self.attacked.views["adaptive"], x, y)
        rates = {f"flat/{name}": rate for name, rate in flat.items()}
        if not self.part.header.random:
            rates["alone"] = differs_alone(self.attacked.defense, x)
        return rates

    def _calls(self, some: Column) -> dict[str, Rate]:
        """Return what is left of a random defense, judged by one call and by most of several."""
        if self.info.target is not None:
            return {}
        attack, eps = self.attacked.suite.builders[self.name], self.info.eps
        return {
            "calls/one": self._robust(attack, eps, some, 1),
            "calls/most": self._robust(attack, eps, some),
        }

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
        if self.info.target is not None or self._within(eps) is None:
            return {}
        shape = self.attacked.images.data.shape
        most = 1.0 if self.threat_model.norm == "Linf" else math.prod(shape) ** 0.5
        found = {"eps/same": left_by(self.part, "adaptive", self.name, some)}
        radii = {"half": eps / 2, "double": 2 * eps, "unbounded": most}
        for key, radius in radii.items():
            attack = self._within(radius)
            if attack and radius <= most and (radius != most or key == "unbounded"):
                found[f"eps/{key}"] = self._robust(attack, radius, some)
        return found

    def _within(self, eps: float) -> AttackCallable | None:
        attack, info = self.attacked.suite.builders[self.name], self.info
        return attack if info.minimal else within_eps(attack, info, eps)

    def _left(self, left: Column) -> dict[str, Rate]:
        """Return what noise, queries and a longer attack find of what the suite left."""
        attacked, eps = self.attacked, self.threat_model.eps
        rates = self._by_queries(left)
        if longer := self._longer():
            found = self._robust(longer, eps, left)
            rates["doubled"] = Rate(found.n - found.hits, found.n)
        if not len(left):
            return {**rates, "noise": Rate(0, 0)}
        x, y = attacked.at(left)
        tries, seed = self.sizes.noise, seed_of(attacked.suite.seed, "noise")
        rates["noise"] = found_by_noise(attacked.defense, self.threat_model, x, y, tries, seed)
        return rates

    def _longer(self) -> AttackCallable | None:
        if self.info.target is not None:
            return None
        return doubled(self.attacked.suite.builders[self.name], self.info)

    def _by_queries(self, left: Column) -> dict[str, Rate]:
        """Return what an attack without gradients finds of what gradients left."""
        infos = self.part.header.attacks.values()
        if self.info.target is not None or not any(map(signs.is_iterated, infos)):
            return {}
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
        size = usual_batch(self.attacked.images.data.shape)
        starts = range(0, len(index), size)
        parts = [
            robust_under(
                attack,
                self.attacked.views["adaptive"],
                self.attacked.defense,
                ThreatModel(self.threat_model.norm, eps),
                *self.attacked.at(index[start : start + size]),
                (seed_of(self.attacked.suite.seed, "evidence") + start) % 2**32,
                calls or self.part.header.judged,
            )
            for start in starts
        ]
        return Rate(sum(int(part.sum()) for part in parts), len(index))
