"""An attack gets gradients that it can follow, also where those of the view are not finite.

At a kink such as the root of a black pixel, a chain rule multiplies zero and infinity. An attack
that takes such a gradient as it is returns NaN pixels, or stands still.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from robust.types import Images


class NotFinite:
    """This notes which of ``n`` images had a gradient that was not finite.

    Args:
        n: Number of images that are attacked together.
        device: Theirs.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        self.images: Bool[Tensor, " n"] = torch.zeros(n, dtype=torch.bool, device=device)
        """This is known only of passes of all the images."""
        self.any = False
        """True if there was one in any pass."""

    def see(self, images: Bool[Tensor, " m"]) -> None:
        """Take note of one backward pass."""
        self.any = True
        if len(images) == len(self.images):
            self.images |= images


@contextmanager
def finite_gradients(
    view: nn.Module, seen: NotFinite | None = None, *, innermost: bool = False
) -> Iterator[None]:
    """Keep gradients of ``view`` with respect to its input finite within (see `steepest`).

    Args:
        view: What is called.
        seen: Takes note of what was not finite.
        innermost: Whether an earlier such guard should see the gradients as they are.
    """

    def guard(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        x = args[0]
        if not (torch.is_grad_enabled() and x.requires_grad):
            return None
        return _Finite.apply(x, seen), *args[1:]

    handle = view.register_forward_pre_hook(guard, prepend=innermost)
    try:
        yield
    finally:
        handle.remove()


def steepest(gradient: Images, bad: Bool[Tensor, "n c h w"]) -> Images:
    """Return a finite gradient for one that is not; a value of NaN becomes zero.

    Where a value of an image is infinite, the others are negligible. There the gradient of the
    image becomes the signs of its infinite values.

    Args:
        gradient: Of images.
        bad: Which values are not finite.
    """
    infinite = bad & ~gradient.isnan()
    alone = infinite.flatten(1).any(dim=1).view(-1, *[1] * (gradient.ndim - 1))
    signs = torch.where(infinite, gradient.sign(), 0.0)
    return torch.where(alone, signs, gradient.masked_fill(bad, 0.0))


class _Finite(torch.autograd.Function):
    """This is the identity, with a finite gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, seen: NotFinite | None) -> Tensor:  # noqa: ANN401
        ctx.seen = seen
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        (gradient,) = grads
        bad = ~gradient.isfinite()
        if not bad.any():
            return gradient, None
        if ctx.seen is not None:
            ctx.seen.see(bad.flatten(1).any(dim=1))
        return steepest(gradient, bad), None
