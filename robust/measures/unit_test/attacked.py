"""Attacks of a suite are run where an adversarial image within eps is known to exist.

Zimmermann, Brendel, Tramer and Carlini 2022, https://arxiv.org/abs/2206.13991.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Generator, nn

from robust.attacks import craft, isolated
from robust.defenses.base import Defense
from robust.errors import check_at_least
from robust.measures.unit_test.layers import (
    NotMeasured,
    last_layer,
    line_of,
)
from robust.measures.unit_test.planted import BLOCK, Planted, Planter
from robust.measures.unit_test.points import edge_points
from robust.measures.unit_test.readouts import Chooser, replaced
from robust.results.rates import Rate, total
from robust.threat import ThreatModel
from robust.types import AttackCallable, Images, View

_RANDOM = 1000
"""Points of the random search at most."""

_Found = Bool[torch.Tensor, " n"]
"""On which images an attack succeeds."""
Parts = Callable[[int], Iterable[slice]]
"""Yields parts of so many images."""


def _at_once(n: int) -> list[slice]:
    return [slice(n)]


class Tried(NamedTuple):
    """An attack as a suite runs it."""

    attack: AttackCallable
    threat_model: ThreatModel
    targeted: bool = False


class Scores(NamedTuple):
    """How often attacks found what was there, on images where no random search finds it."""

    found: dict[View, dict[str, Rate]]
    """By view and attack."""
    random: Rate
    """Images on which random points succeed, of all whose read-out separates its points."""
    separated: Rate
    """Of all images."""

    @staticmethod
    def together(parts: Sequence["Scores"]) -> "Scores":
        """Return the scores of several blocks of images."""
        first = parts[0].found
        return Scores(
            {
                view: {
                    name: total([part.found[view][name] for part in parts]) for name in first[view]
                }
                for view in first
            },
            total([part.random for part in parts]),
            total([part.separated for part in parts]),
        )


def unit_test(
    defense: Defense,
    x: Images,
    attacks: Mapping[str, Tried],
    views: Sequence[View] = ("deployed", "adaptive"),
    *,
    points: int = 1000,
    seed: int = 0,
    features: str | None = None,
    only: Mapping[View, Sequence[str]] | None = None,
    modules: Mapping[View, nn.Module] | None = None,
    parts: Parts = _at_once,
) -> dict[str, Scores]:
    """Return how often attacks find what is there, by the name of their threat model.

    Args:
        defense: Its transform, its features and what follows its last layer stay as they are.
        x: Clean images in [0, 1].
        attacks: Those of Linf or L2 with an eps are tried.
        views: What they differentiate.
        points: Points around each image, of which all but one keep its class; at least 2.
        seed: Of the points and the attacks.
        features: Layer of the network whose input are the features; the last linear one if None.
        only: Attacks to try through each view; all if None.
        modules: What stands for views of the defense.
        parts: Yields the parts of so many images that are tried one after the other. It may end
            early, and the others are left out.

    Raises:
        NotMeasured: If scores do not come from a last linear layer, its features separate no
            points, or no attack can be tried.
        ConfigError: If there are too few points, or no such layer.
    """
    check_at_least("points", points, 2)
    result = {}
    for threat_model, some in _by_threat_model(attacks).items():
        with isolated(defense, x.device, seed):
            last = last_layer(defense, x[:BLOCK], features)
            generator = Generator().manual_seed(seed)
            planter = Planter(defense, last, threat_model, points, generator)
            through = _Through(some, views, only or {}, modules or {})
            scores: list[Scores] = []
            for part in parts(len(x)):
                for block in planter.plant(x[part]):
                    scores.append(_attacked(defense, block, through, seed + len(scores)))
                    count = block.readouts.weight.shape[1]
        result[str(threat_model)] = _any_separated(Scores.together(scores), defense, count)
    return result


def _any_separated(scores: Scores, defense: Defense, features: int) -> Scores:
    if scores.separated.hits:
        return scores
    raise NotMeasured(
        f"Expected points that a linear function of the {features} features separates, but "
        f"{type(defense).__name__} has none. It is not measured."
    )


class _Through(NamedTuple):
    """Which attacks are tried through which views."""

    attacks: Mapping[str, Tried]
    views: Sequence[View]
    only: Mapping[View, Sequence[str]]
    modules: Mapping[View, nn.Module]

    def attacks_of(self, view: View) -> dict[str, Tried]:
        names = self.only.get(view, list(self.attacks))
        return {name: tried for name, tried in self.attacks.items() if name in names}

    def module(self, defense: Defense, view: View) -> nn.Module:
        return self.modules[view] if view in self.modules else defense.view(view)


def _by_threat_model(attacks: Mapping[str, Tried]) -> dict[ThreatModel, dict[str, Tried]]:
    budgets: dict[ThreatModel, dict[str, Tried]] = {}
    for name, tried in attacks.items():
        threat_model = tried.threat_model
        if threat_model.norm in ("Linf", "L2") and 0 < threat_model.eps < float("inf"):
            budgets.setdefault(threat_model, {})[name] = tried
    if not budgets:
        raise NotMeasured(
            "Expected an attack of Linf or L2 with an eps for the unit test, but the suite has "
            "none. Name another suite."
        )
    return budgets


def _attacked(
    defense: Defense,
    planted: Planted,
    through: _Through,
    seed: int,
) -> Scores:
    if not len(planted.x):
        nothing = {v: dict.fromkeys(through.attacks_of(v), Rate(0, 0)) for v in through.views}
        return Scores(nothing, Rate(0, 0), planted.separated)
    views = {view: through.module(defense, view) for view in through.views}
    found: dict[View, dict[str, _Found]] = {view: {} for view in views}
    most = 1.0
    with _in_place(defense, planted, list(views.values())):
        for view, module in views.items():
            for name, tried in through.attacks_of(view).items():
                judge = None if module is defense or view == "published" else defense
                found[view][name], forwards = _one(defense, module, judge, planted, tried, seed)
                most = max(most, forwards)
        random = _random(defense, planted, min(_RANDOM, round(most)), seed)
    rates = {
        view: {name: _rate(success[~random]) for name, success in of_view.items()}
        for view, of_view in found.items()
    }
    return Scores(rates, _rate(random), planted.separated)


def _in_place(defense: Defense, planted: Planted, views: list[nn.Module]) -> ExitStack:
    """Have the read-outs answer in the place of the last layer."""
    stack = ExitStack()
    chooser = Chooser(planted.x, planted.threat_model)
    modules = {id(module): module for module in (defense, *views)}
    line = line_of(defense, planted.last)
    layer = planted.last.layer
    stack.enter_context(replaced(layer, planted.readouts, chooser, line, list(modules.values())))
    return stack


def _one(
    defense: Defense,
    view: nn.Module,
    judge: Defense | None,
    planted: Planted,
    tried: Tried,
    seed: int,
) -> tuple[_Found, float]:
    """Return on which images an attack succeeds, and its forward passes per image."""
    x, threat_model = planted.x, planted.threat_model
    y = torch.zeros(len(x), dtype=torch.long, device=x.device)
    target = torch.ones_like(y) if tried.targeted else None
    made = craft(tried.attack, view, x, y, target=target, seed=seed, judge=judge)
    within = threat_model.distance(x, made.x_adv) <= threat_model.limit
    with torch.no_grad():
        return within & (defense(made.x_adv).argmax(dim=1) != 0), made.forwards


@torch.no_grad()
def _random(defense: Defense, planted: Planted, tries: int, seed: int) -> _Found:
    """Return on which images one of some random points at the edge succeeds."""
    generator = Generator().manual_seed(seed + 1)
    x, device = planted.x.cpu(), planted.x.device
    found = torch.zeros(len(x), dtype=torch.bool, device=device)
    for _ in range(tries):
        points = edge_points(planted.threat_model, x, generator)
        found |= defense(points.to(device)).argmax(dim=1) != 0
    return found


def _rate(hits: _Found) -> Rate:
    return Rate(int(hits.sum()), len(hits))
