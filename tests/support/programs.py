"""Networks as programs of TorchScript and of `torch.export`."""

import warnings

import torch
from torch.utils._python_dispatch import _disable_current_modes


def traced(network, x):
    """Return `network` as a program.

    PyTorch's tracer does not work under a dispatch mode, so `OtherCPU` rests while it runs. Some
    releases say that it is deprecated.
    """
    with _disable_current_modes(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(network.eval(), x)


def exported(network, x):
    """Return `network` as an exported program, made without `OtherCPU`, as `traced` is."""
    with _disable_current_modes():
        return torch.export.export(network.eval(), (x,))
