"""Points around an image: those inside of a threat model keep its class, one at its edge does not.

Zimmermann, Brendel, Tramer and Carlini 2022, https://arxiv.org/abs/2206.13991, section 4.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from robust.threat import ThreatModel
from robust.types import Images

_INSIDE = 0.95
"""How far inner points go, as a share of eps."""
_VALUES = 2**23
"""Values of random points that are made at a time, a bound on memory for large images."""


def inner_points(
    threat_model: ThreatModel, x: Float[Tensor, "c h w"], count: int, generator: Generator
) -> Iterator[Images]:
    """Yield an image, and then random points around it well within the threat model, in parts.

    Args:
        threat_model: Linf (uniform in its box) or L2 (uniform in its ball).
        x: The image, which comes first.
        count: How many there are in all.
        generator: Random numbers.
    """
    yield x[None]
    most = max(1, _VALUES // math.prod(x.shape))
    for first in range(0, count - 1, most):
        yield _inner(threat_model, x, min(most, count - 1 - first), generator)


def _inner(
    threat_model: ThreatModel, x: Float[Tensor, "c h w"], count: int, generator: Generator
) -> Images:
    noise = 2 * torch.rand(count, *x.shape, generator=generator) - 1
    if threat_model.norm == "L2":
        normal = torch.randn(count, *x.shape, generator=generator)
        share = torch.rand(count, 1, 1, 1, generator=generator) ** (1 / x.numel())
        noise = normal / _l2(normal) * share
    return _moved(x, _INSIDE * threat_model.eps * noise)


def edge_points(threat_model: ThreatModel, x: Images, generator: Generator) -> Images:
    """Return a random point for each image at exactly eps of it, or as far as [0, 1] allows."""
    noise = 2 * torch.rand(x.shape, generator=generator) - 1
    if threat_model.norm == "L2":
        noise = torch.randn(x.shape, generator=generator)
        return _to_sphere(x, noise / _l2(noise) * threat_model.eps, threat_model.eps)
    largest = noise.flatten(1).abs().amax(dim=1).view(-1, 1, 1, 1)
    return _moved(x, noise / largest * threat_model.eps)


def _moved(x: Float[Tensor, "*n c h w"], way: Images) -> Images:
    """Go a way; each value takes the other sign if it would leave [0, 1]."""
    outside = (x + way < 0) | (x + way > 1)
    return (x + torch.where(outside, -way, way)).clamp(0, 1)


def _to_sphere(x: Images, way: Images, eps: float) -> Images:
    """Stay on the sphere where [0, 1] cuts the way, as far as there is room."""
    result = _moved(x, way)
    for _ in range(5):
        reached = _l2(result - x).clamp_min(torch.finfo(x.dtype).tiny)
        result = (x + (result - x) * (eps / reached)).clamp(0, 1)
    return result


def _l2(images: Images) -> Float[Tensor, "n 1 1 1"]:
    norms: Float[Tensor, " n"] = torch.linalg.vector_norm(images.flatten(1), dim=1)
    return norms.view(-1, 1, 1, 1)
