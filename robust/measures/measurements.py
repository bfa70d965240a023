"""Measurements other than a suite of attacks, as Lightning callbacks: the test loop ends with one.

Both are also for a YAML's ``trainer.callbacks``, and what ``evaluate.py --robustness`` and
``--certify`` print.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, NamedTuple, TypeVar, final

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from robust.data import ImageDataModule
from robust.defenses.base import Defense
from robust.defenses.tested import defense_and_data
from robust.errors import ConfigError, check_at_least
from robust.measures.certify import ABSTAINED, Smoothed, certified_accuracy
from robust.measures.robustness import (
    MinimalPerturbation,
    Robustness,
    measure_robustness,
)
from robust.results.cells import Cell, Content, Grid, stack
from robust.results.metrics import Rate, mean_numbers, rate_numbers
from robust.tracking.progress import Steps, beating, shown
from robust.types import View

_Result = TypeVar("_Result")

_ROBUSTNESS_NOTES = (
    "Test images at the first eps of 0.05, 0.10, ..., 1 at which FGSM changes the prediction. "
    "accuracy, changed: in %, with 95 % Wilson intervals.",
    "rho: mean of |dx| / |x| over all images, and below it over those whose prediction changed.",
    "distance: mean L2 distance of the changed images to the nearest training image, and below it "
    "the mean of its square / |x|_2, which is what the authors' code prints.",
    "sensitivity: mean L2 norm of the gradient of the cross-entropy, and below it of the softmax "
    "output of the predicted class, which is what the authors' code prints; +- 1.96 standard "
    "errors, and the median, which is far lower where few images carry the mean.",
    "released: the search with the indexing error of the authors' code, which leaves most images "
    "alone after the second eps. Compare it with their Table 2, and with nothing else.",
)


class Measurement(Callback, ABC, Generic[_Result]):
    """Measures the defense when a test ends, logs its numbers and keeps its result.

    Abstract: a subclass says what it measures, logs and prints. Every process measures the same.

    Args:
        limit: Number of test images, from the first; all if None.

    Raises:
        ConfigError: If ``limit`` is below 1.
    """

    name: ClassVar[str]
    """In the names of its W&B runs."""

    def __init__(self, limit: int | None) -> None:
        if limit is not None:
            check_at_least("limit", limit, 1)
        self.limit = limit
        self.result: _Result | None = None
        """Of the last test, on every process."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure and log."""
        defense, data = defense_and_data(trainer, pl_module)
        steps = Steps(self.name.replace("_", " "))
        with shown(trainer) as display, display.of(steps.status), beating([defense], steps.beat):
            self.result = self.measure(defense, data)
        pl_module.log_dict(self.numbers(self.result), sync_dist=True)

    @abstractmethod
    def measure(self, defense: Defense, data: ImageDataModule) -> _Result:
        """The result for one defense."""

    @staticmethod
    @abstractmethod
    def numbers(result: _Result) -> dict[str, float]:
        """What a run logs."""

    @staticmethod
    @abstractmethod
    def table(results: Mapping[str, _Result]) -> Grid:
        """Results beside each other, by the names of their runs."""


@final
class RobustnessMetrics(Measurement[dict[View, Robustness]]):
    """Robustness, distance to the training set and sensitivity of Zantedeschi et al. 2017.

    Logged as ``test/robustness/<view>/...``; see `measure_robustness`.

    Args:
        limit: Number of test images, from the first; all if None.
        views: What FGSM and the sensitivity differentiate.
        block: Images in a forward pass.

    Raises:
        ConfigError: If ``limit`` or ``block`` is below 1.
    """

    name = "robustness"

    def __init__(
        self,
        limit: int | None = 1000,
        views: Sequence[View] = ("deployed", "adaptive"),
        block: int = 250,
    ) -> None:
        super().__init__(limit)
        check_at_least("block", block, 1)
        self.views, self.block = list(views), block

    def measure(self, defense: Defense, data: ImageDataModule) -> dict[View, Robustness]:
        """All of it through each view."""
        return measure_robustness(defense, data, self.limit, self.views, block=self.block)

    @staticmethod
    def numbers(result: dict[View, Robustness]) -> dict[str, float]:
        """Every mean of some image, and every rate with its bounds."""
        numbers: dict[str, float] = {}
        for view, measured in result.items():
            key = f"test/robustness/{view}"
            numbers |= mean_numbers(
                {
                    f"{key}/sensitivity": measured.sensitivity.loss,
                    f"{key}/prediction_sensitivity": measured.sensitivity.prediction,
                }
            )
            numbers |= _search_numbers(f"{key}/minimal", measured.minimal)
            numbers |= _search_numbers(f"{key}/published", measured.published)
        return numbers

    @staticmethod
    def table(results: Mapping[str, dict[View, Robustness]]) -> Grid:
        """A row a run, view and search."""
        rows = [
            [name, view, search, *_search_cells(made), *sensitivity]
            for name, result in results.items()
            for view, measured in result.items()
            for search, made, sensitivity in (
                ("correct", measured.minimal, [stack(*measured.sensitivity[:2])]),
                ("released", measured.published, [""]),
            )
        ]
        first = next(iter(next(iter(results.values())).values()))
        return Grid(
            f"Robustness by minimal perturbations, n = {first.sensitivity.n}",
            [
                *("run", "view", "search", "accuracy", "changed"),
                *("rho Linf", "rho L2", "distance", "sensitivity"),
            ],
            rows,
            _ROBUSTNESS_NOTES,
        )


class Certified(NamedTuple):
    """How many test images are certified as their label."""

    sigma: float
    accuracy: dict[float, Rate]
    """By radius."""
    abstained: Rate


@final
class Certification(Measurement[Certified]):
    """Certified accuracy of the deployed scores under randomized smoothing.

    Logged as ``test/certified/...``; see `Smoothed`.

    Args:
        sigma: Standard deviation of the noise in pixel units, positive; that of training.
        limit: Number of test images, from the first; all if None.
        n0: RandomStreams that choose the class, at least 1.
        n: RandomStreams that bound its probability, at least 1.
        alpha: Probability that a certificate is wrong, in (0, 1).
        radii: L2 in pixel units, not negative.
        seed: Seeds the noise.
        batch: Noisy images in a forward pass, at least 1.

    Raises:
        ConfigError: If an argument is out of range.
    """

    name = "certified"

    def __init__(
        self,
        sigma: float,
        limit: int | None = 200,
        n0: int = 100,
        n: int = 1000,
        alpha: float = 0.001,
        radii: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
        seed: int = 0,
        batch: int = 128,
    ) -> None:
        super().__init__(limit)
        check_at_least("n0", n0, 1)
        check_at_least("n", n, 1)
        for radius in radii:
            if not radius >= 0:
                raise ConfigError(f"Expected `radii` to be non-negative, but got {radius}.")
        Smoothed(nn.Identity(), sigma, alpha, seed, batch)  # checks them before a training
        self.sigma, self.alpha, self.seed, self.batch = sigma, alpha, seed, batch
        self.n0, self.n, self.radii = n0, n, list(radii)

    def measure(self, defense: Defense, data: ImageDataModule) -> Certified:
        """Certify the first test images."""
        stop = data.test_size if self.limit is None else min(self.limit, data.test_size)
        x, y, index = (part.to(defense.device) for part in data.test_samples(0, stop))
        smoothed = Smoothed(defense, self.sigma, self.alpha, self.seed, self.batch)
        certificates = smoothed.certify(x, index, self.n0, self.n)
        rates = certified_accuracy(certificates, y, self.radii)
        abstained = int((certificates.prediction == ABSTAINED).sum())
        return Certified(
            self.sigma, dict(zip(self.radii, rates, strict=True)), Rate(abstained, stop)
        )

    @staticmethod
    def numbers(result: Certified) -> dict[str, float]:
        """The rate at each radius, and that of abstentions, with their bounds."""
        rates = {f"test/certified/radius_{r:g}": rate for r, rate in result.accuracy.items()}
        return rate_numbers({**rates, "test/certified/abstained": result.abstained})

    @staticmethod
    def table(results: Mapping[str, Certified]) -> Grid:
        """A row a run, a column a radius."""
        first = next(iter(results.values()))
        return Grid(
            f"Certified accuracy in %, sigma {first.sigma:g}, n = {first.abstained.n}",
            ["run", *(f"L2 {radius:g}" for radius in first.accuracy), "abstained"],
            [
                [name, *map(Cell.from_rate, [*result.accuracy.values(), result.abstained])]
                for name, result in results.items()
            ],
            [
                "Share of the test images that the smoothed classifier puts into their class, and "
                "surely so within the L2 radius. Second lines: 95 % Wilson intervals.",
                "It is the smoothed classifier that is certified, not the deployed one. A network "
                "that was not trained on this noise certifies little.",
            ],
        )


def _search_numbers(key: str, made: MinimalPerturbation) -> dict[str, float]:
    means: dict[str, float] = {}
    for name, robustness in (("", made.robustness), ("_flipped", made.robustness_changed)):
        means |= {f"linf{name}": robustness.linf, f"l2{name}": robustness.l2}
    means |= {"distance": made.distance.l2, "squared_distance": made.distance.squared}
    rates = {f"{key}/accuracy": made.accuracy, f"{key}/flipped": made.changed}
    known = {f"{key}/{name}": mean for name, mean in means.items() if not math.isnan(mean)}
    return rate_numbers(rates) | known


def _search_cells(made: MinimalPerturbation) -> list[Content]:
    both = made.robustness, made.robustness_changed
    return [
        stack(made.accuracy),
        stack(made.changed),
        stack(*(robustness.linf for robustness in both)),
        stack(*(robustness.l2 for robustness in both)),
        stack(made.distance.l2, made.distance.squared),
    ]
