"""A search for views on which attacks find what a network's own view hides.

It looks at the functions that a network calls, and builds views that show what these hide. It tries
each on some images, and keeps those that find more. Athalye et al. 2018 do so by hand, and Yao et
al. 2021 by a search (https://arxiv.org/abs/2102.11860). The network's own view is always the first.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal, NamedTuple, final

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from robust.attacks.adaptive.levels import levels_of
from robust.attacks.adaptive.signs import Signs, signs_of, without_gradient
from robust.attacks.adaptive.slopes import Recipe
from robust.attacks.adaptive.surrogate import distilled
from robust.attacks.adaptive.views import (
    Cut,
    EstimatedGradient,
    Smoothed,
    SubstitutedGradient,
    early_scores,
)
from robust.attacks.craft import craft, isolated
from robust.attacks.gradient.pgd import PGD
from robust.attacks.views import EOT, Several
from robust.io.radius import with_radius
from robust.threat import ThreatModel
from robust.types import Images, Labels

OWN = "own"
"""Name of the view that the network had before the search."""


class Found(NamedTuple):
    """What a search found: the views, and what to say of it, as sentences."""

    views: Several
    notes: list[str]


@final
class Search:
    """Search looks for views of a network, and tries them on some images.

    Args:
        network: Images to scores, as it is deployed.
        own: Its adaptive view.
        random: Whether two calls of the network differ.
        threat_model: Within which the views are tried.
    """

    def __init__(
        self, network: nn.Module, own: nn.Module, random: bool, threat_model: ThreatModel
    ) -> None:
        self._network, self._random = network, random
        norm, eps = threat_model.norm, threat_model.eps
        usable = norm in ("Linf", "L2") and math.isfinite(eps)
        self._threat_model = threat_model if usable else ThreatModel("Linf", _EPS)
        self.views: dict[str, nn.Module] = {OWN: own}
        """All that were tried, by their names."""
        self._levels: nn.Module | None = None
        self._found: dict[str, Bool[Tensor, " levels_n"]] = {}

    def run(self, x: Images, y: Labels) -> Found:
        """Return the views that find most.

        Args:
            x: Clean images, at least one.
            y: Their labels.
        """
        with isolated(self._network, x.device, seed=0):
            # Tensors that were made in inference mode enter no graph; their clones do.
            x, y = x.clone(), y.clone()
            with torch.no_grad():
                right = self._network(x).argmax(dim=1) == y
            if not right.any():
                return Found(Several(self.views), ["auto: no image is classified correctly."])
            signs = signs_of(self._network, x[:_LOOKED_AT])
            tried = x[right][:_TRIED], y[right][:_TRIED]
            self._try(OWN, *tried)
            for candidates in (self._substituted, self._last_resorts):
                for name, build in candidates(signs, x).items() if self._is_left() else ():
                    self.views[name] = build()
                    self._try(name, *tried)
        return self._chosen(signs, len(tried[0]))

    def _is_left(self) -> bool:
        """Return whether any tried image is not misclassified through any view."""
        found = torch.stack(list(self._found.values())).any(dim=0)
        return not found[len(found) // 2 :].all()

    def _substituted(self, signs: Signs, x: Images) -> dict[str, Callable[[], nn.Module]]:
        cut = self._early(x)
        self._levels = self._levels_of(signs, x)
        recipes: list[tuple[str, Recipe, Cut | None]] = []
        if cut is not None:
            recipes.append(("early scores", Recipe(), cut))
        if signs.steps or signs.hides:
            recipes += [
                ("straight steps", Recipe("straight"), cut),
                ("soft steps", Recipe("soft"), cut),
            ]
        if signs.flat:
            recipes += [
                ("straight", Recipe("straight", "straight"), cut),
                ("soft", Recipe("soft", "soft"), cut),
                ("soft to the end", Recipe("soft", "soft"), None),
            ]
        found = {name: self._builds(recipe, at) for name, recipe, at in recipes}
        if self._random and not found:
            found["mean of calls"] = self._builds(Recipe(), None)
        return found

    def _builds(self, recipe: Recipe, cut: Cut | None) -> Callable[[], nn.Module]:
        return lambda: self._averaged(SubstitutedGradient(self._network, recipe, cut, self._levels))

    def _levels_of(self, signs: Signs, x: Images) -> nn.Module | None:
        """Return the levels of a network that rounds pixels, on which lengths in L2 depend."""
        if self._random or not signs.steps or self._threat_model.norm == "Linf":
            return None
        return levels_of(self._network, x[:_LEVELLED])

    def _averaged(self, view: nn.Module) -> nn.Module:
        return EOT(view, _CALLS) if self._random else view

    def _last_resorts(self, signs: Signs, x: Images) -> dict[str, Callable[[], nn.Module]]:
        best = max(self._found, key=lambda name: int(self._found[name].sum()))
        dead = without_gradient(self.views[best], x[:_LOOKED_AT]).float().mean()
        found: dict[str, Callable[[], nn.Module]] = {}
        radius = self._radius(x)
        if signs.any:
            if float(dead) < _DEAD:
                found["mean around"] = lambda: Smoothed(self.views[best], radius / 2)
            found["surrogate"] = lambda: distilled(self._network, x, radius)
        if float(dead) >= _DEAD:
            found["estimated"] = lambda: EstimatedGradient(self._network, radius / 10)
        return found

    def _radius(self, x: Images) -> float:
        """Return the budget for each pixel."""
        norm, eps = self._threat_model.norm, self._threat_model.eps
        return min(eps if norm == "Linf" else 2 * eps / x[0].numel() ** 0.5, 1.0)

    def _early(self, x: Images) -> Cut | None:
        if self._random:
            return None
        radius = self._radius(x)
        noisy = (x + radius * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
        return early_scores(self._network, torch.cat([x[:_COMPARED], noisy[:_COMPARED]]))

    def _try(self, name: str, x: Images, y: Labels) -> None:
        """Note on which images a short attack through a view succeeds, at half the eps and all."""
        norm: Literal["Linf", "L2"] = "L2" if self._threat_model.norm == "L2" else "Linf"
        attack = partial(PGD, steps=_STEPS, norm=norm, loss="margin", falling=True)
        succeeded = []
        for eps in (self._threat_model.eps / 2, self._threat_model.eps):
            build = partial(attack, eps=eps)
            crafted = craft(build, self.views[name], x, y, judge=self._network)
            with torch.no_grad():
                succeeded.append(self._network(crafted.x_adv).argmax(dim=1) != y)
        self._found[name] = torch.cat(succeeded)

    def _chosen(self, signs: Signs, count: int) -> Found:
        names = list(_greedily(self._found))
        what = signs.words() or "nothing that hides the gradient"
        random = ", two calls that differ" if self._random else ""
        tried = "; ".join(
            f"{name} {int(found[count:].sum())}" for name, found in self._found.items()
        )
        notes = [
            f"auto: found {what}{random}.",
            f"auto: of {count} correctly classified images, so many are misclassified within "
            f"{with_radius(str(self._threat_model))} by a short attack through each view: {tried}. "
            f"The view {OWN} is the one without a search.",
            f"auto: attacked through {', '.join(names)}.",
        ]
        return Found(Several({name: self.views[name] for name in names}), notes)


def _greedily(found: Mapping[str, Bool[Tensor, " levels_n"]]) -> Iterator[str]:
    """Yield the names that add most to what is found, the network's own first."""
    yield OWN
    union = found[OWN]
    for _ in range(_KEPT):
        name = max(found, key=lambda name: int((found[name] & ~union).sum()))
        if not (found[name] & ~union).any():
            return
        yield name
        union = union | found[name]


_EPS = 0.1
"""Views are tried within it in Linf where the suite has no finite eps in Linf or L2."""
_TRIED, _LOOKED_AT, _COMPARED = 40, 32, 100
"""Images on which views are tried, that are looked at, and on which predictions are compared."""
_LEVELLED = 8
_STEPS = 12
_CALLS = 16
"""Of a random network, for each gradient."""
_KEPT = 3
"""Views at most besides the own one."""
_DEAD = 0.1
"""From this share of images without a gradient on, gradients alone are not enough."""
