"""No defense: the twin that every defended net is compared with."""

from typing import final

import torch.nn.functional as F
from torch import nn

from robust.defenses.base import Defense
from robust.types import Images, Labels, Scalar


@final
class Standard(Defense):
    """Cross-entropy training. Its outputs are logits, so it is its own adaptive view."""

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Cross-entropy of the outputs."""
        return F.cross_entropy(self.outputs(x), y)

    def adaptive_view(self) -> nn.Module:
        """Itself, with the gradient let through an input transform if it has one."""
        return self if isinstance(self.transform, nn.Identity) else self.outputs_view()
