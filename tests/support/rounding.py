"""Another CPU, as far as results of floating point go: whatever is rounded is rounded otherwise.

Two CPUs add the products of a convolution in different orders, and take exponentials from different
tables: they agree to a few units in the last place of the terms. And one CPU agrees with itself in
matrix products and convolutions only for batches of one shape. `OtherCPU` does the same on any CPU:
with ``ROBUST_TEST_ROUNDING=1`` (or another seed) in the environment each test runs under it.
"""

import zlib
from functools import lru_cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from robust.random_streams import RandomStreams

_aten = torch.ops.aten
# Products, and all of a batch together: rounded by the shapes of their arguments.
_PRODUCTS = {
    _aten.mm.default,
    _aten.addmm.default,
    _aten.bmm.default,
    _aten.baddbmm.default,
    _aten.mv.default,
    _aten.dot.default,
    _aten.convolution.default,
    _aten.convolution_backward.default,
}
_BY_SHAPE = _PRODUCTS | {
    _aten.native_batch_norm.default,
    _aten.native_batch_norm_backward.default,
}
_SUMS = {_aten.sum.default, _aten.sum.dim_IntList, _aten.mean.default, _aten.mean.dim}
# Sums and functions of a row or an element, in whatever batch it is.
_BY_VALUE = _SUMS | {
    _aten.exp.default,
    _aten.log.default,
    _aten.log1p.default,
    _aten.tanh.default,
    _aten.sigmoid.default,
    _aten.pow.Tensor_Scalar,
    _aten.sin.default,
    _aten.cos.default,
    _aten.atanh.default,
    _aten.linalg_vector_norm.default,
    _aten._softmax.default,
    _aten._log_softmax.default,
    _aten._softmax_backward_data.default,
    _aten._log_softmax_backward_data.default,
    _aten.avg_pool2d.default,
    _aten.avg_pool2d_backward.default,
}


class OtherCPU(TorchDispatchMode):
    """Results of float32 on the CPU that are rounded otherwise, where they are rounded at all.

    The rounding is a function of the operation, a seed, and of shapes or values. So the same call
    twice gives the same. What float32 holds exactly stays as it is, as on every CPU.

    Args:
        seed: Another CPU each.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        results = func(*args, **kwargs)
        if func not in _BY_SHAPE | _BY_VALUE or not _float32(results):
            return results
        args, kwargs = tree_map(_double, (args, kwargs))
        exact = scales = func(*args, **kwargs)
        if func in _SUMS or func in _PRODUCTS:  # terms may cancel, and their rounding does not
            args, kwargs = tree_map(_absolute, (args, kwargs))
            scales = func(*args, **kwargs)
        name = f"{self.seed}/{func}"
        if func in _BY_SHAPE:
            name += str([tuple(value.shape) for value in tree_leaves(args) if _is_tensor(value)])
        if _is_tensor(results):
            return _rounded(results, exact, scales, name, func)
        columns = zip(results, exact, scales, strict=True)
        return type(results)(
            _rounded(*column, f"{name}/{i}", func) for i, column in enumerate(columns)
        )


def _rounded(result, exact, scale, name, func):
    if not _is_tensor(result) or result.dtype != torch.float32:
        return result
    seed = zlib.crc32(name.encode())
    if func in _BY_SHAPE:
        noise = _noise(seed, tuple(result.shape))
    else:
        bits = exact.float().flatten().view(torch.int32).long()
        noise = RandomStreams(bits ^ (seed << 32)).uniform().view_as(exact).double() * 2 - 1
    error = noise * torch.finfo(torch.float32).eps * scale.abs()
    # What lies within a thousandth of such an error of a float32 is that on every CPU.
    far = (result.double() - exact).abs() > 1e-3 * torch.finfo(torch.float32).eps * exact.abs()
    # A sigmoid, tanh or softmax that is saturated is so on every CPU.
    saturated = (result.abs() == 1) & (func in _BY_VALUE)
    inexact = far & ~saturated & exact.isfinite()
    return torch.where(inexact, result.double() + error, result.double()).float()


@lru_cache(maxsize=4096)
def _noise(seed, shape):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1


def _float32(results):
    first = results if isinstance(results, torch.Tensor) else results[0]
    return isinstance(first, torch.Tensor) and first.dtype == torch.float32 and not first.is_cuda


def _is_tensor(value):
    return isinstance(value, torch.Tensor)


def _double(value):
    return value.double() if _is_tensor(value) and value.dtype == torch.float32 else value


def _absolute(value):
    return value.abs() if _is_tensor(value) and value.is_floating_point() else value
