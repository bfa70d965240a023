"""Another CPU, as far as results of floating point go: every sum is rounded otherwise.

CPUs and thread counts add the products of a convolution in different orders, and take exponentials
from different tables. So two of them agree to a few units in the last place of the terms, and one
of them agrees with itself only for batches of one shape. `OtherCPU` does the same on any CPU: with
``ROBUST_TEST_ROUNDING=1`` (or another seed) in the environment each test runs under it.
"""

import zlib
from functools import lru_cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

_aten = torch.ops.aten
# Sums of products of their arguments: their error grows with what the products would sum up to.
_SUMS = {
    _aten.mm.default,
    _aten.addmm.default,
    _aten.bmm.default,
    _aten.baddbmm.default,
    _aten.mv.default,
    _aten.dot.default,
    _aten.convolution.default,
    _aten.convolution_backward.default,
    _aten.sum.default,
    _aten.sum.dim_IntList,
    _aten.mean.default,
    _aten.mean.dim,
    _aten.cumsum.default,
}
# Whatever else no two CPUs need to round alike.
_OTHERS = {
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
    _aten.native_batch_norm.default,
    _aten.native_batch_norm_backward.default,
    _aten.native_layer_norm.default,
    _aten.avg_pool2d.default,
    _aten.avg_pool2d_backward.default,
}


class OtherCPU(TorchDispatchMode):
    """Results of float32 that are rounded otherwise, where they are rounded at all.

    The rounding is a function of the operation, of the shapes of all tensors and of a seed: the
    same call twice gives the same, a batch of another size does not. What float32 holds exactly
    stays as it is, as on every CPU.

    Args:
        seed: Another CPU each.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        results = func(*args, **kwargs)
        if (func not in _SUMS and func not in _OTHERS) or not _float32(results):
            return results
        wide = tree_map(_double, (args, kwargs))
        exact = func(*wide[0], **wide[1])
        if func in _SUMS:
            positive = tree_map(_absolute, wide)
            scales = func(*positive[0], **positive[1])
        else:
            scales = exact
        name = f"{self.seed}/{func}/{[tuple(t.shape) for t in _tensors(args)]}"
        if isinstance(results, torch.Tensor):
            return _rounded(results, exact, scales, name)
        columns = zip(results, exact, scales, strict=True)
        return type(results)(_rounded(*column, f"{name}/{i}") for i, column in enumerate(columns))


def _rounded(result, exact, scale, name):
    if not isinstance(result, torch.Tensor) or result.dtype != torch.float32:
        return result
    noise = _noise(name, tuple(result.shape)) * torch.finfo(torch.float32).eps * scale.abs()
    inexact = (result.double() != exact) & exact.isfinite()
    return torch.where(inexact, exact + noise, result.double()).float()


@lru_cache(maxsize=4096)
def _noise(name, shape):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1


def _float32(results):
    first = results if isinstance(results, torch.Tensor) else results[0]
    return isinstance(first, torch.Tensor) and first.dtype == torch.float32 and not first.is_cuda


def _tensors(args):
    return [value for value in torch.utils._pytree.tree_leaves(args) if _is_tensor(value)]


def _is_tensor(value):
    return isinstance(value, torch.Tensor)


def _double(value):
    return value.double() if _is_tensor(value) and value.dtype == torch.float32 else value


def _absolute(value):
    return value.abs() if _is_tensor(value) and value.is_floating_point() else value
