"""Behind a quantizing transform, an attack runs with one stand-in for the gradient after another.

The soft steps of a view (`SoftSteps`) are several in one. Attacks with a budget, which count
distances of cells, need no more. One that looks for the nearest image may need the straight
gradient, too: Carlini and Wagner's penalty finds more so. It costs as much again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn
from torchattacks.attack import Attack as TorchAttack

from robust.attacks.base import Attack
from robust.attacks.cells import Succeeds, brought_nearer
from robust.attacks.judging import is_adversarial
from robust.attacks.norms import norm_of
from robust.attacks.views import SoftSteps
from robust.threat import distance
from robust.transforms.quantized import Cells
from robust.types import Images, Labels, Norm

_NORMS: tuple[Norm, ...] = get_args(Norm)


def attacked_in_cells(
    built: TorchAttack,
    view: nn.Module,
    cells: Cells,
    x: Images,
    y: Labels,
    target: Labels | None,
    judge: nn.Module | None,
) -> Images:
    """Return what an attack makes of images behind a quantizing transform.

    Successes are the nearest images of their cells. Of an attack without a budget that follows
    the soft steps of the view, they are the nearer of two runs.

    Args:
        built: The attack on ``view``.
        view: What it attacks.
        cells: Of the transform.
        x: Clean images.
        y: Their labels.
        target: Class that each image shall become; None if untargeted.
        judge: Whose predictions count; the view's if None.
    """
    asked = view if judge is None else judge

    def succeeds(images: Images, rows: Int64[Tensor, " m"]) -> Bool[Tensor, " m"]:
        goal = None if target is None else target[rows]
        return is_adversarial(asked(images), y[rows], goal)

    steps = [module for module in view.modules() if isinstance(module, SoftSteps)]
    with _counted(steps) as calls:
        first = _run(built, cells, x, y, succeeds)
    if not calls or "eps" in vars(built) or first.shape != x.shape:
        return first
    with _straight(steps):
        second = _run(built, cells, x, y, succeeds)
    return _nearer(x, first, second, succeeds, _norm_of(built))


def _run(built: TorchAttack, cells: Cells, x: Images, y: Labels, succeeds: Succeeds) -> Images:
    x_adv: Images = built(x, y).detach()
    if isinstance(built, Attack) or x_adv.shape != x.shape:
        return x_adv
    return brought_nearer(cells, x, x_adv.to(x.dtype), succeeds)


def _norm_of(built: TorchAttack) -> Norm:
    """Return the norm in which the nearer of two images counts."""
    named = norm_of(built)
    return next((norm for norm in _NORMS if norm == named), "L2")


@torch.no_grad()
def _nearer(x: Images, first: Images, second: Images, succeeds: Succeeds, norm: Norm) -> Images:
    rows = torch.arange(len(x), device=x.device)
    nearer = distance(x, second, norm) < distance(x, first, norm)
    better = succeeds(second, rows) & (nearer | ~succeeds(first, rows))
    return torch.where(better.view(-1, 1, 1, 1), second, first)


@contextmanager
def _counted(modules: list[SoftSteps]) -> Iterator[list[None]]:
    """Note each call of the modules, which happens only where a gradient is asked for."""
    calls: list[None] = []
    handles = [m.register_forward_pre_hook(lambda *_: calls.append(None)) for m in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _straight(modules: list[SoftSteps]) -> Iterator[None]:
    for module in modules:
        module.straight = True
    try:
        yield
    finally:
        for module in modules:
            module.straight = False
