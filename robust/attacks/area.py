"""Any attack is confined to an area: the pixels of a mask, or a square patch that it may place.

Each image is attacked by itself, through the area alone. The attack gets the box around the area as
its image. On its way into the network the box is pasted into the clean image. So no attack has to
know of areas, and none spends its budget elsewhere.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torchattacks.attack import Attack as TorchAttack

from robust.attacks.each_view import Crafted, Samples, through_each
from robust.errors import ConfigError
from robust.threat import ThreatModel
from robust.types import Images, Labels

PLACES = 5
"""A patch is tried at so many places, those of the largest slopes first."""

Gradient = Callable[[Images, Labels], Images]


class Box(NamedTuple):
    """A box of an image; within it, only the pixels of the mask may change."""

    rows: slice
    columns: slice
    mask: Bool[Tensor, "h w"]

    def cut(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c i j"]:
        """Return what is in the box."""
        return x[:, :, self.rows, self.columns]

    def pasted(
        self, x: Float[Tensor, "1 c h w"], inside: Float[Tensor, "n c i j"]
    ) -> Float[Tensor, "n c h w"]:
        """Return an image with the pixels of the mask from ``inside``, once for each of these."""
        parts = [x.to(inside.dtype).expand(len(inside), -1, -1, -1)] * 2
        clean, result = parts[0], parts[1].clone()
        result[:, :, self.rows, self.columns] = torch.where(self.mask, inside, self.cut(clean))
        return result


def within_area(
    run: Callable[..., Crafted],
    built: TorchAttack,
    view: nn.Module,
    samples: Samples,
    judge: nn.Module,
    allowed: ThreatModel,
    gradient: Gradient,
) -> Crafted:
    """Run an attack within the area of a threat model, and keep the worst of each image.

    Args:
        run: Runs the attack on images of any size, as ``craft`` does.
        built: The attack.
        view: What is attacked.
        samples: Clean images.
        judge: Whose predictions count.
        allowed: It has a mask or a patch.
        gradient: Of the view's loss.

    Raises:
        ConfigError: If the area does not fit the images.
    """
    size = samples.x.shape[2:]
    check_fits(allowed, size[0], size[1])
    places = 1 if allowed.patch is None else PLACES

    def at(place: Any, x: Images, y: Labels, **rest: Any) -> Crafted:  # noqa: ANN401
        boxes = _boxes(allowed, place, x, y, gradient)
        seen = zip(boxes, Samples(x, y, rest["target"], rest["sample_seeds"]).each(), strict=True)
        return _joined([_in_box(run, view, judge, box, sample) for box, sample in seen])

    return through_each(at, built, range(places), samples, judge)


def check_fits(allowed: ThreatModel, height: int, width: int) -> None:
    """Raise unless the area of a threat model, if it has one, fits images of a size.

    Raises:
        ConfigError: If a mask has another size, or a patch is larger.
    """
    if allowed.mask is not None:
        shape = len(allowed.mask), len(allowed.mask[0])
        if shape != (height, width):
            raise ConfigError(
                f"Expected a `mask` of {height} x {width} pixels, as images are, but got "
                f"{shape[0]} x {shape[1]}. Give one number for each pixel."
            )
    if allowed.patch is not None and allowed.patch > min(height, width):
        raise ConfigError(
            f"Expected a `patch` that fits into images of {height} x {width} pixels, but got "
            f"{allowed.patch}. Give a smaller one."
        )


def _boxes(
    allowed: ThreatModel, place: int, x: Images, y: Labels, gradient: Gradient
) -> Iterator[Box]:
    """Yield the box of each image."""
    if allowed.patch is None:
        mask = torch.tensor(allowed.mask, dtype=torch.bool, device=x.device)
        rows, columns = (_span(mask.any(dim=1 - i).nonzero()) for i in (0, 1))
        yield from [Box(rows, columns, mask[rows, columns])] * len(x)
        return
    n = allowed.patch
    full = torch.ones(n, n, dtype=torch.bool, device=x.device)
    for top, left in places_of(gradient(x, y), n)[:, place].tolist():
        yield Box(slice(top, top + n), slice(left, left + n), full)


def _span(index: Int64[Tensor, "n 1"]) -> slice:
    return slice(int(index.min()), int(index.max()) + 1)


def places_of(gradient: Images, patch: int) -> Int64[Tensor, "n places 2"]:
    """Return the top left corners of the squares with the largest slopes, which differ enough.

    Two of them are at least half a patch apart, as far as the image is large enough.

    Args:
        gradient: Of the loss of each image.
        patch: Pixels of a side.
    """
    slopes = gradient.abs().nan_to_num().sum(dim=1, keepdim=True)
    sums = F.avg_pool2d(slopes.double(), patch, stride=1).squeeze(1)
    height, width = sums.shape[1:]
    down, right = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    found = []
    for _ in range(PLACES):
        best = sums.flatten(1).argmax(dim=1)
        top, left = best // width, best % width
        found.append(torch.stack([top, left], dim=1))
        far = torch.maximum(
            (down.to(top) - top.view(-1, 1, 1)).abs(), (right.to(top) - left.view(-1, 1, 1)).abs()
        )
        # Not infinity: where all are taken, the first is taken again.
        sums = torch.where(far < (patch + 1) // 2, -1.0, sums)
    return torch.stack(found, dim=1)


def _in_box(
    run: Callable[..., Crafted], view: nn.Module, judge: nn.Module, box: Box, sample: Samples
) -> Crafted:
    """Attack one image within a box."""
    x, y, target, seeds = sample
    with _pasting({view, judge}, box, x):
        made = run(view, box.cut(x), y, target=target, sample_seeds=seeds, judge=judge)
    return made._replace(x_adv=box.pasted(x, made.x_adv))


@contextmanager
def _pasting(modules: set[nn.Module], box: Box, x: Float[Tensor, "1 c h w"]) -> Iterator[None]:
    """Let modules see what is in the box pasted into a clean image; not where one calls another."""
    depth = 0

    def enter(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal depth
        depth += 1
        return args if depth > 1 else (box.pasted(x, args[0]), *args[1:])

    def leave(*_: object) -> None:
        nonlocal depth
        depth -= 1

    handles = [module.register_forward_pre_hook(enter) for module in modules]
    handles += [module.register_forward_hook(leave, always_call=True) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _joined(parts: list[Crafted]) -> Crafted:
    n = len(parts)
    x_adv, not_finite, dropped = (
        torch.cat([getattr(part, name) for part in parts])
        for name in ("x_adv", "not_finite", "dropped")
    )
    forwards, seconds = (
        sum(getattr(part, name) for part in parts) / n for name in ("forwards", "seconds")
    )
    return Crafted(x_adv, forwards, seconds, not_finite, dropped)
