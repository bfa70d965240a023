"""Networks as programs of TorchScript."""

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
