"""Starts lie where an image of another class would be, as far as the ball reaches to it.

Where the scores of a network turn on the way, starts at random in the ball all climb to the same
maxima. A start that comes from beyond the ball is on the other side.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from robust.attacks.judging import normalized
from robust.random_streams import RandomStreams
from robust.types import Images, Scores

_LENGTH = 1 / 28
"""Of a step, by pixel: one in L2 for an MNIST image."""
_NOISE = 0.3
"""Standard deviation by pixel."""


def far_images(
    x: Images, promise: Callable[[Images], Tensor], steps: int, streams: RandomStreams
) -> Images:
    """Return images of the box to which gradients lead from noisy ones, without any ball.

    Args:
        x: Clean images.
        promise: How far each of some images is of the other class, to be climbed.
        steps: Of one length.
        streams: Of the noise.
    """
    length = _LENGTH * math.sqrt(x.shape[1:].numel())
    now = (x + _NOISE * streams.normal(*x.shape[1:]).to(x.dtype)).clamp(0, 1)
    for _ in range(steps):
        seen = now.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(promise(seen).sum(), seen)
        now = (now + length * normalized(gradient)[0]).clamp(0, 1)
    return now


def lead_over(scores: Scores, aim: Tensor, y: Tensor) -> Tensor:
    """Return each score of the class ``aim`` less that of ``y``."""
    return (scores.gather(1, aim.view(-1, 1)) - scores.gather(1, y.view(-1, 1))).squeeze(1)
