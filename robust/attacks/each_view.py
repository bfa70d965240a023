"""An attack goes through one view after the other, and the worst of each image is kept."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torchattacks.attack import Attack as TorchAttack

from robust.attacks.judging import is_adversarial
from robust.attacks.norms import norm_of
from robust.threat import distance
from robust.types import Images, Labels, Norm


class Crafted(NamedTuple):
    """This holds what an attack returned, and what it cost."""

    x_adv: Float[Tensor, "n c h w"]
    forwards: float
    """Mean number of forward passes per image."""
    seconds: float
    """Mean wall time per image."""
    not_finite: Bool[Tensor, " n"]
    """True where a gradient of the view was not finite, on the way or at the end."""
    dropped: Bool[Tensor, " n"]
    """True where the attack gave up before its last steps, as nothing promised a success."""


class Samples(NamedTuple):
    """Samples are images with all that belongs to each."""

    x: Images
    y: Labels
    target: Labels | None
    seeds: Int64[Tensor, " n"] | None

    def each(self) -> Iterator["Samples"]:
        """Yield each as a batch of its own."""
        yield from (self.at(row) for row in torch.arange(len(self.x)).view(-1, 1).to(self.x.device))

    def at(self, rows: Int64[Tensor, " m"]) -> "Samples":
        """Return some of them."""
        return Samples(*(None if part is None else part[rows] for part in self))  # type: ignore[arg-type]


def through_each(
    run: Callable[..., Crafted],
    built: TorchAttack,
    views: Iterable[Any],
    samples: Samples,
    judge: nn.Module,
) -> Crafted:
    """Run an attack on one view after the other, and keep the worst image of each sample.

    Without a budget that is the nearest success. With one, any is as bad, and only what was not
    misclassified goes on to the next view.

    Args:
        run: Runs the attack on a view, as ``craft`` does.
        built: The attack on any of them.
        views: What is attacked, at least one; ``run`` gets one after the other.
        samples: Clean images.
        judge: Whose predictions count.
    """
    norm: Norm = next((norm for norm in _NORMS if norm == norm_of(built)), "L2")
    rows = torch.arange(len(samples.x), device=samples.x.device)
    best: Crafted | None = None
    for view in views:
        x, y, target, seeds = some = samples.at(rows)
        crafted = run(view, x, y, target=target, sample_seeds=seeds, judge=judge)
        best = crafted if best is None else _worse(best, crafted, rows, some, judge, norm)
        if best.x_adv.shape != samples.x.shape:
            break  # which the threat model refuses
        if "eps" in vars(built):
            rows = rows[~_is_success(judge, best.x_adv[rows], samples.at(rows))]
        if not len(rows):
            break
    assert best is not None
    return best


_NORMS: tuple[Norm, ...] = get_args(Norm)


@torch.no_grad()
def _worse(
    best: Crafted,
    crafted: Crafted,
    rows: Int64[Tensor, " m"],
    samples: Samples,
    judge: nn.Module,
    norm: Norm,
) -> Crafted:
    earlier = best.x_adv[rows]
    if earlier.shape != crafted.x_adv.shape:
        return crafted
    success, succeeded = (
        _is_success(judge, images, samples) for images in (crafted.x_adv, earlier)
    )
    nearer = distance(samples.x, crafted.x_adv, norm) < distance(samples.x, earlier, norm)
    taken = success & (nearer | ~succeeded)
    x_adv, not_finite, dropped = best.x_adv.clone(), best.not_finite.clone(), best.dropped.clone()
    x_adv[rows[taken]] = crafted.x_adv[taken].to(x_adv.dtype)
    not_finite[rows] &= crafted.not_finite
    dropped[rows] = (dropped[rows] | crafted.dropped) & ~(success | succeeded)
    share = len(rows) / len(best.x_adv)
    return Crafted(
        x_adv,
        best.forwards + crafted.forwards * share,
        best.seconds + crafted.seconds * share,
        not_finite,
        dropped,
    )


@torch.no_grad()
def _is_success(judge: nn.Module, images: Images, samples: Samples) -> Bool[Tensor, " m"]:
    return is_adversarial(judge(images), samples.y, samples.target)
