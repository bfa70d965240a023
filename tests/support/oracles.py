"""A classifier whose nearest adversarial example is known: the oracle of every attack.

There are two linear classes: the score of class 1 over class 0 is ``w . (x - 0.5)`` with weights of
+-1. So the distance to the boundary is ``|w . (x - 0.5)| / |w|_dual`` in every norm. The last row
and column weigh nothing, because torchattacks' Square (as the authors') cannot change them on
their own. Images lie around 0.5, where the box [0, 1] does not interfere.
"""

import torch
from torch import Tensor, nn

SHAPE = (1, 5, 5)
MARGIN = 0.8


class LinearOracle(nn.Module):
    """Scores (0, w . (x - 0.5)), times ``scale``; class 1 where the product is positive."""

    def __init__(self, classes: int = 2, scale: float = 1.0, channels: int = 1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.shape = (channels, *SHAPE[1:])
        signs = torch.randint(0, 2, self.shape, generator=generator) * 2 - 1
        signs[:, -1], signs[:, :, -1] = 0, 0
        self.w = nn.Parameter(signs.flatten().float())
        self.classes, self.scale = classes, scale

    def forward(self, x: Tensor) -> Tensor:
        score = (x.flatten(1) - 0.5) @ self.w.to(x.dtype)
        scores = torch.stack([torch.zeros_like(score), score], dim=1)
        # Further classes that no image within reach is of.
        rest = scores.new_full((len(x), self.classes - 2), -10.0)
        return self.scale * torch.cat([scores, rest], dim=1)

    def samples(self, n: int) -> tuple[Tensor, Tensor]:
        """Images whose score is exactly +-MARGIN, and their labels."""
        generator = torch.Generator().manual_seed(n)
        x = 0.5 + 0.02 * torch.randn(n, *self.shape, generator=generator)
        y = torch.arange(n) % 2
        wanted = (2 * y - 1) * MARGIN
        w = self.w.detach().float()
        score = (x.flatten(1) - 0.5) @ w
        x = x + ((wanted - score) / w.abs().sum()).view(-1, 1, 1, 1) * w.view(1, *self.shape)
        return x, y

    def budget(self, norm: str) -> float:
        """Distance of every sample to the boundary."""
        size = self.w.abs().sum().item()
        return MARGIN / {"Linf": size, "L2": size**0.5, "L1": 1}[norm]
