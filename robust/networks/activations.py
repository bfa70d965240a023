"""PyTorch lacks these activations."""

from typing import final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from robust.errors import ConfigError


@final
class BReLU(nn.Module):
    """BReLU is the bounded ReLU ``min(max(x, 0), t)``, of derivative 1 in (0, t) and else 0.

    At the ends 0 and t themselves the derivative is 0, as PyTorch's ReLU has it at 0. Liew et al.
    2016 (https://doi.org/10.1016/j.neucom.2016.08.037); a defense in Zantedeschi et al. 2017,
    section 3.1 (https://arxiv.org/abs/1707.06728), with t = 1.

    Examples:
        >>> robust.BReLU(t=1.0)(torch.tensor([-1.0, 0.5, 2.0]))
        tensor([0.0000, 0.5000, 1.0000])

    Args:
        t: Upper bound, positive.

    Raises:
        ConfigError: If ``t`` is not positive.
    """

    def __init__(self, t: float = 1.0) -> None:
        super().__init__()
        if not t > 0:
            raise ConfigError(f"Expected `t` to be positive, but got {t}.")
        self.t = t

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return values in [0, t], of the same shape."""
        # Not `clamp`, whose backward pass takes several times as long on a CPU.
        return F.hardtanh(x, 0.0, self.t)

    def extra_repr(self) -> str:
        """Return the bound, for the printed network."""
        return f"t={self.t}"
