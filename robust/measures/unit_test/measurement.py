"""The attack unit test as a Lightning callback: a test ends with it, and its numbers are logged."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, final, runtime_checkable

from robust.data import ImageDataModule
from robust.defenses.base import Defense
from robust.duck_typing import ByAttribute
from robust.errors import check_at_least
from robust.io.radius import with_radius
from robust.measures.measurements import Measurement
from robust.measures.unit_test.attacked import Scores, Tried, unit_test
from robust.measures.unit_test.layers import NotMeasured
from robust.results.cells import Cell, Content, Grid
from robust.results.metrics import Rate, rate_numbers
from robust.results.records import AttackInfo
from robust.threat import ThreatModel
from robust.types import AttackCallable, View

_SOUND = 0.95
"""The paper asks for more than that of a sound attack."""


@runtime_checkable
class Suite(Protocol, metaclass=ByAttribute):
    """A suite has attacks with their threat models, as `robust.evaluation.suite.Suite` has."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def builders(self) -> Mapping[str, AttackCallable]:
        """What builds each attack on a view, by name."""

    @property
    def infos(self) -> Mapping[str, AttackInfo]:
        """Each attack as it is run."""

    @property
    def views(self) -> Sequence[View]:
        """What the attacks differentiate."""

    @property
    def seed(self) -> int:
        """It seeds the attacks."""

    def on(self, data: str) -> "Suite":
        """Return the suite as it attacks a data set."""


class UnitTest(NamedTuple):
    """The attack unit test of one run."""

    suite: str
    n: int
    """Number of images that were asked for."""
    scores: Mapping[str, Scores]
    """By threat model; empty where it is not measured."""
    reason: str = ""
    """Why it is not measured."""


@final
class AttackUnitTest(Measurement[UnitTest]):
    """How often the attacks of a suite find an adversarial image that is known to be there.

    Logged as ``test/unit_test/<view>/<attack>``; see `unit_test`.

    Args:
        suite: Its attacks of Linf or L2 are tried through its views.
        limit: Number of test images, from the first; all if None.
        points: Points around each image, of which all but one keep its class; at least 2.
        features: Layer of the network whose input are the features; the last linear one if None.

    Raises:
        ConfigError: If ``limit`` is below 1 or ``points`` below 2.
    """

    name = "unit_test"

    def __init__(
        self,
        suite: Suite,
        limit: int | None = 64,
        points: int = 1000,
        features: str | None = None,
    ) -> None:
        super().__init__(limit)
        check_at_least("points", points, 2)
        self.suite, self.points, self.features = suite, points, features

    def measure(self, defense: Defense, data: ImageDataModule) -> UnitTest:
        """Try all attacks of the suite on the first test images."""
        n = data.test_size if self.limit is None else min(self.limit, data.test_size)
        x = data.test_samples(0, n).x.to(defense.device)
        suite = self.suite.on(data.name)
        try:
            scores = unit_test(
                defense,
                x,
                tried(suite),
                suite.views,
                points=self.points,
                seed=suite.seed,
                features=self.features,
            )
        except NotMeasured as error:
            return UnitTest(suite.name, n, {}, str(error))
        return UnitTest(suite.name, n, scores)

    @staticmethod
    def numbers(result: UnitTest) -> dict[str, float]:
        """Every score, and the share that random search finds, with their bounds."""
        rates: dict[str, Rate] = {}
        for budget, scores in result.scores.items():
            rates[f"test/unit_test/random/{budget.replace(' ', '_')}"] = scores.random
            for view, found in scores.found.items():
                rates |= {f"test/unit_test/{view}/{name}": rate for name, rate in found.items()}
        return rate_numbers(rates)

    @staticmethod
    def table(results: Mapping[str, UnitTest]) -> Grid:
        """A row a run, view and attack."""
        first = next(iter(results.values()))
        return Grid(
            f"Attack unit test in %, suite {first.suite}, n = {first.n}",
            ["run", "view", "attack", "threat model", "n", "score", "random search"],
            [row for name, result in results.items() for row in _rows(name, result)],
            [
                *(text for name, result in results.items() for text in _notes(name, result)),
                "score: share of images on which an attack finds an adversarial image that is "
                "known to be there. A sound attack finds more than 95 %. Second lines: 95 % Wilson "
                "intervals.",
                "random search: share found by random points, of at most 1000 or as many as the "
                "attacks look at. These images are left out of n, since they are too easy.",
            ],
        )


def tried(suite: Suite) -> dict[str, Tried]:
    """Return the attacks of a suite as the unit test runs them."""
    return {
        name: Tried(suite.builders[name], ThreatModel(info.norm, info.eps), info.target is not None)
        for name, info in suite.infos.items()
    }


def _rows(run: str, result: UnitTest) -> Iterator[list[Content]]:
    if result.reason:
        yield [run, "", "", "", "", "not measured", ""]
    for budget, scores in result.scores.items():
        for view, found in scores.found.items():
            for name, rate in found.items():
                random = Cell.from_rate(scores.random)
                yield [
                    run,
                    view,
                    name,
                    with_radius(budget),
                    *(str(rate.n), Cell.from_rate(rate), random),
                ]


def _notes(run: str, result: UnitTest) -> Iterator[str]:
    """Yield what a reader has to know of a run, before all else."""
    if result.reason:
        yield f"{run}: {result.reason}"
    for budget, scores in result.scores.items():
        lost = scores.separated.n - scores.separated.hits
        if lost:
            yield (
                f"{run}: of {scores.separated.n} images {lost} are left out at "
                f"{with_radius(budget)}, since no linear function of the features separates their "
                "points."
            )
        for view, found in scores.found.items():
            best = max(found, key=lambda name: found[name].value, default=None)
            if best is not None and found[best].n > 0 and found[best].interval[1] < _SOUND:
                yield (
                    f"{run}: no attack at {with_radius(budget)} through the {view} view finds 95 % "
                    "of what is there, so that its robust accuracy through it says little."
                )
