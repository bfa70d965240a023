"""Views of any network that show what its own gradient hides."""

from collections.abc import Callable
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from robust.attacks.adaptive.mode import OtherGradient, Seen
from robust.attacks.adaptive.slopes import Recipe
from robust.attacks.views import shrunk, with_gradient_of
from robust.types import Images, Scores


class Cut(NamedTuple):
    """A cut says which function of a network returns the scores that an attack may look at."""

    call: int
    """Its number among all functions that the network calls."""
    sign: int
    """-1 if the smallest of them is the prediction, as of distances."""


@final
class SubstitutedGradient(nn.Module):
    """SubstitutedGradient computes what a network computes, and has another gradient.

    Args:
        network: Images to scores.
        recipe: Which slopes stand in for those of its functions.
        cut: Where its scores are taken from; what it returns if None.
        levels: Which levels of a pixel it tells apart, for ``craft``; None if all.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        cut: Cut | None,
        levels: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network, self.levels = network, levels
        self.recipe, self.cut = recipe, cut

    def forward(self, x: Images) -> Scores:
        """Return scores, shrunk to a spread of 10."""
        if self.levels is not None:
            self.levels(x)  # `cells_of` sees that the images come to it
        taken = _Taken(-1 if self.cut is None else self.cut.call)
        with OtherGradient(self.recipe, taken):
            # Not a call that is counted as one of the judge.
            scores = self.network.forward(x)
        if self.cut is not None and isinstance(taken.value, Tensor):
            early = taken.value
            scores = self.cut.sign * early if early.shape == scores.shape else scores
        return shrunk(scores)


class _Taken:
    """It takes what one of many functions returns."""

    def __init__(self, call: int) -> None:
        self._left = call
        self.value: Any = None

    def __call__(self, seen: Seen) -> None:
        if self._left == 0:
            self.value = seen.returned
        self._left -= 1


def early_scores(network: nn.Module, x: Images) -> Cut | None:
    """Return where a network first has scores that predict as it does; None if at its end.

    Args:
        network: Images to scores, in eval mode.
        x: Images, on which all predictions must agree, except where scores are equal.
    """
    seen: list[Any] = []
    # With a gradient, as in an attack: some networks call other functions then.
    some = x.clone().requires_grad_()
    with torch.enable_grad(), OtherGradient(Recipe(), lambda call: seen.append(call.returned)):
        scores = network.forward(some)
    scores = scores.detach()
    for call, value in enumerate(seen):
        if not isinstance(value, Tensor) or value.shape != scores.shape:
            continue
        for sign in (1, -1) if value.is_floating_point() else ():
            if _predicts_alike(sign * value.detach(), scores):
                is_end = torch.equal(value.detach(), scores)
                return None if is_end else Cut(call, sign)
    return None


def _predicts_alike(early: Scores, scores: Scores) -> bool:
    clear = ~_tied(scores) & ~_tied(early)
    same = early.argmax(dim=1) == scores.argmax(dim=1)
    return bool(clear.any()) and bool(same[clear].all())


def _tied(scores: Scores) -> Tensor:
    best = scores.topk(2, dim=1).values
    return best[:, 0] - best[:, 1] <= 1e-5 * best[:, 0].abs()


@final
class Smoothed(nn.Module):
    """Smoothed has the scores of a view, with the mean gradient over noise around the image.

    Where a network is full of small steps, the gradient at a point says nothing of its way.

    Args:
        view: Images to scores.
        radius: Of the uniform noise, in pixels.
        samples: Images around each.
    """

    def __init__(self, view: nn.Module, radius: float, samples: int = 10) -> None:
        super().__init__()
        self.view, self.radius, self.samples = view, radius, samples

    def forward(self, x: Images) -> Scores:
        """Return the scores of the view."""
        with torch.no_grad():
            exact: Scores = self.view(x)
        if not torch.is_grad_enabled():
            return exact
        noises = (self.radius * (2 * torch.rand_like(x) - 1) for _ in range(self.samples))
        mean = torch.stack([self.view(x + noise) for noise in noises]).mean(dim=0)
        return with_gradient_of(exact, mean)


@final
class EstimatedGradient(nn.Module):
    """EstimatedGradient has a network's scores, with a gradient that queries estimate.

    Each query goes a random way from the image, and one goes as far back (natural evolution
    strategies, Ilyas et al. 2018, https://arxiv.org/abs/1804.08598).

    Args:
        network: Images to scores.
        radius: Length of the way for each pixel.
        samples: Pairs of queries for each gradient.
    """

    def __init__(self, network: nn.Module, radius: float, samples: int = 25) -> None:
        super().__init__()
        self.network, self.radius, self.samples = network, radius, samples

    def forward(self, x: Images) -> Scores:
        """Return the scores, shrunk to a spread of 10."""
        return _Estimated.apply(x, self._scores, self.radius, self.samples)  # type: ignore[no-any-return]

    def _scores(self, x: Images) -> Scores:
        return shrunk(self.network.forward(x))


class _Estimated(torch.autograd.Function):
    """It is the scores of images, with an estimated gradient."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        scores: Callable[[Tensor], Tensor],
        radius: float,
        samples: int,
    ) -> Tensor:
        ctx.x, ctx.scores, ctx.radius, ctx.samples = x.detach(), scores, radius, samples
        with torch.no_grad():
            return scores(ctx.x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        (slope,) = grads
        total = torch.zeros_like(ctx.x)
        with torch.no_grad():
            for _ in range(ctx.samples):
                way = torch.randn_like(ctx.x)
                ends = (ctx.scores(ctx.x + sign * ctx.radius * way) for sign in (1, -1))
                rise = ((next(ends) - next(ends)) * slope).sum(dim=1)
                total += rise.view(-1, 1, 1, 1) * way
        return total / (2 * ctx.radius * ctx.samples), None, None, None
