"""Behind a quantizing transform, an image can move within its cell and stay what it is.

So a found image goes to the nearest one that is quantized alike: the values that did not cross a
threshold go back, and the others stop just behind it. foolbox refines adversarial images of
binarizing networks so (Schott et al. 2019, https://arxiv.org/abs/1805.09190).
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.threat import ThreatModel
from robust.transforms.quantized import Cells, Quantized
from robust.types import Images

Succeeds = Callable[[Images, Int64[Tensor, " m"]], Bool[Tensor, " m"]]
"""It says on which images of a batch, given with their rows, an attack succeeds."""

_BEHIND = (1e-6, 1e-5, 1e-4, 1e-3)
"""So far behind a threshold it is looked for where the judge's is not the one that is declared."""
_BISECTIONS = 12


@torch.no_grad()
def cells_of(view: nn.Module, x: Images) -> Cells | None:
    """Return the cells of the first transform of ``view`` that quantizes images; None if none does.

    A transform that gets anything but the images is further behind and does not count.

    Args:
        view: Module from pixels to class scores, in eval mode.
        x: Images, at least one; the view is called with the first.
    """
    found: list[Quantized] = []
    first = x[:1]

    def see(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if torch.equal(args[0], first) and isinstance(module, Quantized):
            found.append(module)

    quantized = [module for module in view.modules() if isinstance(module, Quantized)]
    if not quantized:
        return None
    handles = [module.register_forward_pre_hook(see) for module in quantized]
    try:
        view(first)
    finally:
        for handle in handles:
            handle.remove()
    return Cells.of(found[0], x) if found else None


@torch.no_grad()
def brought_nearer(cells: Cells, x: Images, x_adv: Images, succeeds: Succeeds) -> Images:
    """Return the nearest images of the same cells where the attack succeeds on them, too.

    No value is further from ``x`` than before, and no success is lost. Where the judge rounds, or
    has its threshold elsewhere, values go a little further than the threshold. An image that no
    attack may return stays as it is.

    Args:
        cells: Of the transform in front of what is attacked.
        x: Clean images.
        x_adv: What an attack returned for them.
        succeeds: Asks the judge.
    """
    result, near = x_adv.clone(), cells.nearest(x, x_adv)
    sound = ((x_adv >= 0) & (x_adv <= 1)).flatten(1).all(dim=1)
    rows = (sound & (near != x_adv).flatten(1).any(dim=1)).nonzero().squeeze(1)
    rows = _replaced(result, near[rows], rows, succeeds)
    if len(rows):
        rows = rows[succeeds(x_adv[rows], rows)]
    for behind in _BEHIND:
        way = (x_adv[rows] - near[rows]).clamp(-behind, behind)
        further = torch.where(near[rows] != x[rows], near[rows] + way, x[rows])
        rows = _replaced(result, further, rows, succeeds)
    return result


def _replaced(
    result: Images, images: Float[Tensor, "m c h w"], rows: Int64[Tensor, " m"], succeeds: Succeeds
) -> Int64[Tensor, " left"]:
    """Write images into rows of ``result`` where they succeed, and return the other rows."""
    if not len(rows):
        return rows
    success = succeeds(images, rows)
    result[rows[success]] = images[success]
    return rows[~success]


@torch.no_grad()
def projected(threat_model: ThreatModel, cells: Cells | None, x: Images, x_adv: Images) -> Images:
    """Return images that an attack may return, or that have one of their cells within eps.

    Without cells, and in Linf, that is ``threat_model.project``. A value costs nothing in L2 or L1
    until it crosses a threshold, and then no more than the way to it. So images go towards ``x``
    only until the nearest of their cells is within eps. `brought_nearer` takes them there.
    """
    if cells is None or threat_model.norm not in ("L2", "L1"):
        return threat_model.project(x, x_adv)
    result = x_adv.clamp(0, 1)
    rows = _outside(threat_model, cells, x, result).nonzero().squeeze(1)
    if len(rows):
        x, delta = x[rows], result[rows] - x[rows]
        low, high = x.new_zeros(len(rows), 1, 1, 1), x.new_ones(len(rows), 1, 1, 1)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            outside = _outside(threat_model, cells, x, x + middle * delta).view_as(middle)
            low, high = torch.where(outside, low, middle), torch.where(outside, middle, high)
        result[rows] = x + low * delta
    return result


def _outside(
    threat_model: ThreatModel, cells: Cells, x: Images, x_adv: Images
) -> Bool[Tensor, " n"]:
    way = cells.nearest(x, x_adv) - x
    length: Float[Tensor, " n"] = torch.linalg.vector_norm(
        way.flatten(1), {"L2": 2, "L1": 1}[threat_model.norm], dim=1
    )
    return length > threat_model.eps
