"""Exact distance of images to the nearest of a large set of images."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from robust.types import Images

_BLOCK = 4096
"""Reference images at a time, a multiple of `_GROUP`."""
_QUERIES = 512
_GROUP = 32
"""Reference images of which the search keeps one number."""
_VALUES = 2**22
"""Pixels of candidates at a time, in float64."""


def nearest_distance(
    x: Images, reference: UInt8[Tensor, "m c h w"], device: torch.device | None = None
) -> Float[Tensor, " n"]:
    """L2 distance of each image to the nearest reference image, exact, in float64 on the CPU.

    The squared distance is found as ``|a|^2 - 2ab + |b|^2`` by matrix products in float32, whose
    rounding can be as large as the difference of two neighbours. Higham 2002, Eq. 3.5
    (https://doi.org/10.1137/1.9780898718027) bounds that rounding. Every reference image that may
    be the nearest within the bound is compared again by its pixels, in float64.

    Args:
        x: Images in pixel units.
        reference: Images as bytes, 0 to 255 for 0 to 1, at least one; a block at a time becomes
            float32.
        device: Where to compute; where ``x`` is if None.
    """
    device = x.device if device is None else device
    best = torch.full((len(x),), torch.inf, dtype=torch.float64)
    if not len(x):
        return best
    with torch.no_grad(), _full_precision():
        queries = x.flatten(1).to(device)
        minima, largest = _group_minima(queries, reference)
        # Of a computed number from the true one, at most; both of a pair may be off.
        rounding = (queries.shape[1] + 4) * 2.0**-24
        slack = 2 * rounding * largest * (largest + 2 * queries.norm(dim=1, dtype=torch.float64))
        bound = minima.amin(dim=1) + slack
        query, group = (minima <= bound.unsqueeze(1)).nonzero().unbind(dim=1)
        chunk = max(1, _VALUES // (_GROUP * queries.shape[1]))
        for q, g in zip(torch.split(query, chunk), torch.split(group, chunk), strict=True):
            squared = _exact(queries[q], reference, g.cpu())
            best.scatter_reduce_(0, q.cpu(), squared.cpu(), "amin")
    return best.sqrt()


def _group_minima(
    queries: Float[Tensor, "n d"], reference: UInt8[Tensor, "m c h w"]
) -> tuple[Float[Tensor, "n g"], float]:
    """Smallest ``|b|^2 - 2ab`` of every query and group, in float32, and the largest ``|b|``."""
    minima, largest = [], 0.0
    for part in torch.split(reference, _BLOCK):
        block = _pixels(part.to(queries.device))
        squares = block.square().sum(dim=1)
        largest = max(largest, squares.max().item())
        # A short last block is filled with images at infinity; groups are strided, see `_members`.
        missing = -len(block) % _GROUP
        block = F.pad(block, (0, 0, 0, missing))
        squares = F.pad(squares, (0, missing), value=torch.inf)
        parts = [
            torch.addmm(squares, q, block.T, alpha=-2).view(len(q), _GROUP, -1).amin(dim=1)
            for q in torch.split(queries, _QUERIES)
        ]
        minima.append(torch.cat(parts))
    return torch.cat(minima, dim=1), largest**0.5


def _exact(
    queries: Float[Tensor, "p d"], reference: UInt8[Tensor, "m c h w"], groups: Tensor
) -> Float[Tensor, " p"]:
    """Smallest squared distance of each query to the images of its group, in float64."""
    members = _members(groups, len(reference))
    candidates = _pixels(reference[members.flatten()].to(queries.device))
    delta = candidates.double().view(*members.shape, -1) - queries.double().unsqueeze(1)
    return delta.square_().sum(dim=2).amin(dim=1)


def _members(groups: Tensor, count: int) -> Tensor:
    """Places of the images of each group: every so many-th image of one block."""
    per_block = _BLOCK // _GROUP
    start = groups // per_block * _BLOCK
    size = (count - start).clamp_max(_BLOCK)
    stride = (size + _GROUP - 1) // _GROUP
    places = start.unsqueeze(1) + groups.unsqueeze(1) % per_block
    places = places + torch.arange(_GROUP) * stride.unsqueeze(1)
    # Places after the end stand for images at infinity; any other image does no harm.
    return places.clamp_max(count - 1)


def _pixels(x: UInt8[Tensor, "m c h w"]) -> Float[Tensor, "m d"]:
    # By a tensor: CUDA multiplies by the inverse of a number, which rounds otherwise.
    return x.flatten(1).float().div_(torch.full((), 255.0, device=x.device))


@contextmanager
def _full_precision() -> Iterator[None]:
    """Matrix products of float32 as such, where a user may have allowed less."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
