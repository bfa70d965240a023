"""Attacks that judge images themselves share this, above all the minimal-norm ones."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robust import losses
from robust.types import Images, Labels, Scores


def normalized(gradient: Images) -> tuple[Images, Float[Tensor, " n"]]:
    """Return each gradient divided by its L2 norm, and that norm; zero where it is not finite."""
    # The scale first: squares of gradients below 1e-19 are zero in float32, above 1e19 infinite.
    largest = gradient.flatten(1).abs().amax(dim=1)
    largest = largest.where(largest.isfinite(), 0.0)
    usable = (largest >= torch.finfo(gradient.dtype).tiny).view(-1, 1, 1, 1)
    scaled = torch.where(usable, gradient / largest.view(-1, 1, 1, 1), 0.0)
    norms = scaled.flatten(1).square().sum(dim=1).sqrt()
    return scaled / norms.clamp_min(1).view(-1, 1, 1, 1), norms * largest


def mask_class(scores: Scores, y: Labels) -> Scores:
    """Return the scores with that of class ``y`` at minus infinity.

    Zero would not do: where all scores are negative, it is the largest.
    """
    return scores.scatter(1, y.view(-1, 1), -torch.inf)


def ranked_classes(scores: Scores, y: Labels) -> Int64[Tensor, "n others"]:
    """Return the classes other than ``y``, those of the highest scores first."""
    return mask_class(scores, y).argsort(dim=1, descending=True)[:, :-1]


def signed_margin(scores: Scores, y: Labels, target: Labels | None) -> Float[Tensor, " n"]:
    """Return by how much each image is adversarial: the difference of scores, zero at the boundary.

    Untargeted that is the best other score minus the label's. Targeted, it is the target's minus
    the best other one.
    """
    return losses.margin(scores, y) if target is None else -losses.margin(scores, target)


def is_adversarial(scores: Scores, y: Labels, target: Labels | None = None) -> Bool[Tensor, " n"]:
    """Say whether each image is no longer of class ``y``; of class ``target`` if there is one."""
    predicted = scores.argmax(dim=1)
    return predicted != y if target is None else predicted == target


@torch.no_grad()
def confirmed(
    scores: Callable[[Images], Scores],
    x: Images,
    x_adv: Images,
    y: Labels,
    target: Labels | None = None,
    tries: int = 5,
) -> Images:
    """Return the images of ``x_adv`` that are adversarial in one batch, and ``x`` for the others.

    The scores of an image differ in the last bits with the size of its batch. So an image at the
    boundary that was adversarial among few may not be so among many. Such an image is moved on: by
    a thousandth of its distance to ``x`` first, and by twice as much at each try.
    """
    result = x_adv.clone()
    rows = torch.arange(len(x), device=x.device)
    for attempt in range(tries + 1):
        if not len(rows):
            break
        failed = ~is_adversarial(
            scores(result[rows]), y[rows], None if target is None else target[rows]
        )
        # A clean image cannot be moved on.
        moved = (x_adv[rows] != x[rows]).flatten(1).any(dim=1)
        rows = rows[failed & moved]
        if attempt < tries:
            excess = 1 + 1e-3 * 2**attempt
            result[rows] = (x[rows] + (x_adv[rows] - x[rows]) * excess).clamp(0, 1)
    result[rows] = x[rows]
    return result
