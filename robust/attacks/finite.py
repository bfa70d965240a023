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

    Scores that depend on the input by no gradient get one that is zero, for which attacks can ask.

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

    handles = [
        view.register_forward_pre_hook(guard, prepend=innermost),
        view.register_forward_hook(_connected),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _connected(_: nn.Module, args: tuple[Any, ...], scores: Any) -> Any:  # noqa: ANN401
    """Return scores with a gradient by the input, which is zero where they had none."""
    x = args[0]
    if not (torch.is_grad_enabled() and x.requires_grad and isinstance(scores, Tensor)):
        return scores
    is_known = isinstance(scores.grad_fn, _Connected)
    return scores if is_known or not scores.is_floating_point() else _Connected.apply(scores, x)


class _Connected(torch.autograd.Function):
    """This is scores as they are, which attacks can differentiate by ``x`` in any case."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, x: Tensor) -> Tensor:  # noqa: ANN401
        ctx.zero = x.new_zeros(()).expand(x.shape)
        return scores.view_as(scores)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        return grads[0], ctx.zero


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
        # The sum is finite only if all values are, and costs a twentieth of a look at each.
        if gradient.sum().isfinite():
            return gradient, None
        bad = ~gradient.isfinite()
        if not bad.any():
            return gradient, None
        if ctx.seen is not None:
            ctx.seen.see(bad.flatten(1).any(dim=1))
        return steepest(gradient, bad), None
