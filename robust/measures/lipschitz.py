"""Operator norms of the layers of a network: how much each can stretch a change of its input.

Szegedy et al. 2014, section 4.3, https://arxiv.org/abs/1312.6199, bound a network by the norms of
its layers. Sedghi et al. 2019, https://arxiv.org/abs/1805.10408, give the norm of a convolution
exactly for circular padding. Figure 4 of Saito and Roy 2018, https://arxiv.org/abs/1812.00181,
compares it between losses.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn

from robust.attacks import isolated
from robust.errors import ConfigError
from robust.results.cells import Grid

_Size = tuple[int, int]

# Of the logarithm of an eigenvalue, times that of the number of channels.
_TOLERANCE = 2e-6
# Values at a time, a bound on memory.
_CHUNK = 2**24

_NOTES = (
    "Largest singular values (L2): of a convolution with circular padding on its own feature map, "
    "of a dense layer exactly. Batch normalization and activations are left out.",
    "The product bounds a chain of the listed layers alone; residual and dense connections add "
    "paths, so it is no Lipschitz bound of such a network.",
)


class OperatorNorm(NamedTuple):
    """The largest singular value of one linear layer, as often as the network calls it."""

    layer: str
    """Name of the module in its network."""
    kind: str
    """``linear``, or ``conv`` with the size of its kernel, such as ``conv 3x3``."""
    norm: float
    """In L2: units of output per unit of input."""
    size: _Size | None
    """Height and width of the feature map that enters; None for a dense layer."""


def operator_norms(network: nn.Module, shape: tuple[int, int, int]) -> list[OperatorNorm]:
    """Norms of all `torch.nn.Linear` and `torch.nn.Conv2d` layers, in the order of their calls.

    Feature maps are those of one zero image. So a layer that the forward pass does not call is left
    out, and one that it calls twice is listed twice. The norm of a convolution is that of
    `convolution_norm` on its feature map. The network is left as it was.

    Args:
        network: Any module that takes images.
        shape: Channels, height and width of the images.

    Raises:
        ConfigError: If a weight is NaN or infinite.
    """
    calls: list[tuple[str, nn.Linear | nn.Conv2d, _Size | None]] = []

    def seen(name: str, layer: nn.Linear | nn.Conv2d, x: Tensor) -> None:
        size = (x.shape[-2], x.shape[-1]) if isinstance(layer, nn.Conv2d) else None
        calls.append((name, layer, size))

    hooks = [
        layer.register_forward_pre_hook(lambda layer, args, name=name: seen(name, layer, args[0]))
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    parameter = next(network.parameters(), torch.empty(0))
    try:
        with isolated(network, parameter.device, seed=0), torch.no_grad():
            network(torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype))
            return [_norm(*call) for call in calls]
    finally:
        for hook in hooks:
            hook.remove()


def product_bound(norms: Iterable[OperatorNorm]) -> float:
    """Product of the norms: the Lipschitz constant in L2 of a plain chain of them, at most.

    With activations of slope at most 1 in between. It is no bound of a network that joins paths
    (residual, dense) or normalizes by batch statistics, whose gain the paper ignores as well.
    """
    return math.prod(norm.norm for norm in norms)


def convolution_norm(layer: nn.Conv2d, size: tuple[int, int]) -> float:
    """Largest singular value of a convolution on feature maps of ``size``, padded circularly.

    The Fourier transform splits the layer into one matrix a frequency (Sedghi et al., Theorem 6):
    output by input channels, or with a stride s the s^2 frequencies that alias, side by side and
    divided by s. Sizes that the stride does not divide are rounded up; a kernel larger than the map
    wraps around it. Dilation and groups are exact.

    With zeros instead, as networks pad, this is no bound on ``size`` itself. On small maps the true
    norm can be larger, on large ones both approach the supremum over all frequencies. It is a
    bound on a map enlarged by the padding, ``size + padding``: there the zeros fit into the circle.
    Layers without padding are bounded on ``size`` already.

    Args:
        layer: The convolution; only its weight, stride and dilation matter.
        size: Height and width of the input, at least 1.

    Raises:
        ConfigError: If ``size`` is not positive.
    """
    if min(size) < 1:
        raise ConfigError(f"Expected a feature map of positive size, but got {size}.")
    kernel = layer.weight.detach()
    kernel = kernel.view(layer.groups, -1, *kernel.shape[1:])
    # Along an axis of one tap all frequencies are alike, and a stride only drops outputs.
    taps = kernel.shape[-2:]
    strides = [s if k > 1 else 1 for s, k in zip(layer.stride, taps, strict=True)]
    counts = [math.ceil(n / s) if k > 1 else 1 for n, s, k in zip(size, strides, taps, strict=True)]
    if strides == [1, 1] and kernel.shape[1] > kernel.shape[2]:
        kernel = kernel.transpose(1, 2)
    # Squares of weights below 1e-19 are zero in float32, above 1e19 infinite.
    scale = kernel.abs().amax().clamp_min(torch.finfo(kernel.dtype).tiny)
    gram = _autocorrelation(kernel / scale)
    waves = [
        _waves(n, s, k, d).to(gram.device, gram.dtype.to_complex())
        for n, s, k, d in zip(counts, strides, taps, layer.dilation, strict=True)
    ]
    # Real kernels have the same norm at opposite frequencies.
    waves[1] = waves[1][: counts[1] // 2 + 1]
    folded = torch.einsum("gopvw,fw->gopvf", gram.to(waves[0].dtype), waves[1])
    best = -math.inf
    for rows in torch.split(waves[0], max(1, _CHUNK // folded.numel())):
        matrices = torch.einsum("gopvf,ev->efgop", folded, rows)
        best = _log_largest_eigenvalue(matrices.flatten(0, 2), best)
    return math.exp(best / 2) * scale.item()


def norm_table(runs: Mapping[str, Sequence[OperatorNorm]]) -> Grid:
    """Layers as rows, runs as columns, and the product of each run as the last row.

    Args:
        runs: Norms by the names of their runs; networks may differ.
    """
    cells = {
        name: {(n.layer, n.kind, n.size): n.norm for n in norms} for name, norms in runs.items()
    }
    layers = dict.fromkeys(key for column in cells.values() for key in column)
    rows = [
        [
            layer,
            kind,
            "" if size is None else f"{size[0]}x{size[1]}",
            *(f"{column[key]:.4g}" if key in column else "none" for column in cells.values()),
        ]
        for key in layers
        for layer, kind, size in [key]
    ]
    products = [f"{product_bound(norms):.4g}" for norms in runs.values()]
    return Grid(
        "Operator norms of the layers (L2)",
        ["layer", "kind", "feature map", *runs],
        [*rows, ["product", "", "", *products]],
        _NOTES,
    )


def _norm(name: str, layer: nn.Linear | nn.Conv2d, size: _Size | None) -> OperatorNorm:
    if not layer.weight.isfinite().all():
        raise ConfigError(
            f"Expected finite weights, but {name} has NaN or infinity. Train again with a lower "
            "learning rate."
        )
    if isinstance(layer, nn.Linear):
        norm = torch.linalg.matrix_norm(layer.weight.detach(), 2).item()
        return OperatorNorm(name, "linear", norm, None)
    assert size is not None
    kind = f"conv {layer.kernel_size[0]}x{layer.kernel_size[1]}"
    return OperatorNorm(name, kind, convolution_norm(layer, size), size)


def _autocorrelation(kernel: Float[Tensor, "g o i h w"]) -> Float[Tensor, "g o o h2 w2"]:
    """Correlation of every two output channels at every shift: M M* before its Fourier transform.

    Far smaller than the matrices M of a layer with few outputs. The shifts are -(h-1) to h-1.
    """
    kernel = kernel.cpu()  # in full precision, where GPUs round what enters a convolution
    height, width = kernel.shape[-2:]
    return torch.stack([F.conv2d(k, k, padding=(height - 1, width - 1)) for k in kernel])


def _waves(count: int, stride: int, taps: int, dilation: int) -> Complex[Tensor, "f k"]:
    """Fourier factors at ``count`` frequencies of the shifts between taps.

    The mean over the frequencies that alias under a stride, of which ``M M* / stride`` is the sum,
    leaves the shifts that the stride divides.
    """
    shifts = torch.arange(1 - taps, taps) * dilation
    angles = torch.arange(count)[:, None] * shifts * (-2 * torch.pi / (stride * count))
    return torch.polar(torch.ones_like(angles), angles) * (shifts % stride == 0)


def _log_largest_eigenvalue(matrices: Complex[Tensor, "m n n"], floor: float) -> float:
    """Logarithm of the largest eigenvalue over a batch of Hermitian matrices, at least ``floor``.

    None of the eigenvalues may be negative. By Gelfand's formula, squaring again and again: after k
    squarings the Frobenius norm of the power is off by less than n^(1/2) in the 2^k-th root. What
    cannot be the largest any more is dropped. A batch of eigenvalue problems takes far longer.
    """
    bound, weight = torch.zeros(len(matrices)), 1.0
    slack = math.log(matrices.shape[-1]) / 2
    while len(matrices) and weight > _TOLERANCE:
        norms = torch.linalg.matrix_norm(matrices)
        bound = bound + weight * norms.log()
        floor = max(floor, bound.max().item() - weight * slack)
        kept = bound > floor
        matrices = matrices[kept] / norms[kept, None, None]
        matrices, bound, weight = matrices @ matrices, bound[kept], weight / 2
    return floor
