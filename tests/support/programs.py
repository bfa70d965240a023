"""Networks as programs of TorchScript."""

import torch
from torch.utils._python_dispatch import _disable_current_modes


def traced(network, x):
    """Return `network` as a program.

    PyTorch's tracer does not work under a dispatch mode, so `OtherCPU` rests while it runs.
    """
    with _disable_current_modes():
        return torch.jit.trace(network.eval(), x)
