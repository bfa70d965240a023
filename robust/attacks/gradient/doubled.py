"""A copy of a network in float64, whose gradients do not vanish where those in float32 do.

Tuna et al. 2022 (https://arxiv.org/abs/2202.07342) recommend it against sure networks.
"""

import copy

from torch import nn

from robust.errors import ConfigError, in_short


def doubled(view: nn.Module) -> nn.Module:
    """Return a copy of what is attacked with all weights in float64, in eval mode.

    Raises:
        ConfigError: If it cannot be copied.
    """
    try:
        return copy.deepcopy(view).double().eval()
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"Expected a network that can be copied for `precision: float64`, but it cannot "
            f"({in_short(error)}). Leave out `precision` of the attack."
        ) from error
