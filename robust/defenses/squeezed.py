"""Output layers are squeezed: Tuna, Catak and Eskil 2022, https://arxiv.org/abs/2202.07342."""

from typing import Literal, final

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn

from robust.attacks.views import Rescale
from robust.defenses.base import Defense, check_temperature
from robust.types import Images, Labels, Scalar, Scores

_SQUEEZE = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}


@final
class Squeezed(Defense):
    """A sigmoid or tanh squeezes the logits, with a temperature for training alone (III-B).

    Training minimizes the cross-entropy of softmax(squeeze(z / T)); the deployed model scores with
    squeeze(z). Its logits grow to several hundred, where squeeze(z) is flat and the gradient of
    every loss of the scores is exactly zero in float32. That is masking: the scores rise with z,
    and attacks on z succeed once it is scaled down. In float32 several classes can reach the
    same extreme score; the first of them is then the prediction (evaluation counts such ties).

    Examples:
        >>> defense = robust.Squeezed(robust.MLP(), temperature=20.0)
        >>> defense(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        network: Images to logits z of shape (N, K).
        activation: ``sigmoid`` or ``tanh``.
        temperature: T, positive; 20 for MNIST and 50 for CIFAR-10 in the paper (Table VI).
        transform: Input transform; the identity if None.
        optimizer: Builds the optimizer.
        scheduler: Builds a learning-rate scheduler.

    Raises:
        ConfigError: If ``temperature`` is not positive.
    """

    def __init__(
        self,
        network: nn.Module,
        activation: Literal["sigmoid", "tanh"] = "tanh",
        temperature: float = 20.0,
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(network, transform, optimizer, scheduler)
        self.activation = activation
        self.temperature = check_temperature(temperature)

    def forward(self, x: Images) -> Scores:
        """Return squeezed logits without temperature, in (0, 1) or (-1, 1)."""
        return _SQUEEZE[self.activation](self.outputs(x))

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return the cross-entropy of squeezed logits at T; at best 1.4612 or 0.7966."""
        return F.cross_entropy(_SQUEEZE[self.activation](self.outputs(x) / self.temperature), y)

    def adaptive_view(self) -> nn.Module:
        """Return the logits before the squeeze, divided by T and kept from saturating."""
        return Rescale(self.outputs_view(), self.temperature)
