"""Probes of a small sample: noise, gradients of each loss, images alone and in a batch."""

import torch
from jaxtyping import Bool
from torch import Generator, Tensor, nn

from robust import losses
from robust.attacks import craft, isolated
from robust.attacks.views import Several
from robust.defenses.base import Defense
from robust.evaluation.blocks import judged
from robust.losses import Loss
from robust.measures.unit_test.points import edge_points
from robust.results.rates import Rate
from robust.threat import ThreatModel
from robust.types import AttackCallable, Images, Labels

_ROUNDING = 1e-4
"""Of the largest score, as two calls may differ by the order of their sums."""
_LOSSES: tuple[Loss, ...] = ("cross_entropy", "log_odds", "margin")


def robust_under(
    attack: AttackCallable,
    view: nn.Module,
    defense: Defense,
    threat_model: ThreatModel,
    x: Images,
    y: Labels,
    seed: int,
    calls: int = 1,
) -> Bool[Tensor, " n"]:
    """Return on which images an attack fails within a threat model, judged by some calls."""
    judge = None if view is defense else defense
    x_adv = craft(attack, view, x, y, seed=seed, judge=judge).x_adv
    within = threat_model.distance(x, x_adv) <= threat_model.limit
    with torch.no_grad():
        predicted = judged(defense, x_adv.to(x.dtype), y, calls)[1]
        robust: Bool[Tensor, " n"] = (predicted == y) | ~within
        return robust


@torch.no_grad()
def found_by_noise(
    defense: Defense, threat_model: ThreatModel, x: Images, y: Labels, tries: int, seed: int
) -> Rate:
    """Return on how many images one of some random points at the edge is misclassified."""
    generator = Generator().manual_seed(seed)
    found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(tries if len(x) else 0):
        points = edge_points(threat_model, x.cpu(), generator).to(x.device)
        found |= defense(points).argmax(dim=1) != y
    return Rate(int(found.sum()), len(x))


def without_gradient(view: nn.Module, x: Images, y: Labels) -> dict[str, Rate]:
    """Return at how many images each loss of a view has no gradient, or one that is no number."""
    return {name: _flat(view, x, y, name) for name in _LOSSES}


def _flat(view: nn.Module, x: Images, y: Labels, loss: Loss) -> Rate:
    views = view.each() if isinstance(view, Several) else [view]
    flat = torch.stack([_is_flat(each, x, y, loss) for each in views]).all(dim=0)
    return Rate(int(flat.sum()), len(x))


def _is_flat(view: nn.Module, x: Images, y: Labels, loss: Loss) -> Bool[Tensor, " n"]:
    with isolated(view, x.device, seed=0):
        images = x.detach().clone().requires_grad_()
        climbed = losses.NAMED[loss](view(images), y).sum()
        if not climbed.requires_grad:
            return torch.ones_like(y, dtype=torch.bool)
        (gradient,) = torch.autograd.grad(
            climbed, images, allow_unused=True, materialize_grads=True
        )
    gradient = gradient.flatten(1)
    flat: Bool[Tensor, " n"] = gradient.eq(0).all(dim=1) | ~gradient.isfinite().all(dim=1)
    return flat


@torch.no_grad()
def differs_alone(defense: Defense, x: Images) -> Rate:
    """Return on how many images the scores are others than in a batch."""
    together = defense(x)
    alone = torch.cat([defense(image[None]) for image in x])
    most = _ROUNDING * together[together.isfinite()].abs().max().clamp_min(1e-30)
    differs = ~torch.isclose(together, alone, rtol=0, atol=float(most), equal_nan=True).all(dim=1)
    return Rate(int(differs.sum()), len(x))
