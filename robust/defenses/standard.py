"""A network without a defense is what every defended network is compared with.

With the squared error for a loss it is the softmax network of Saito and Roy 2018
(https://arxiv.org/abs/1812.00181, section 3.1), which they call a defense.
"""

from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from robust.attacks.views import Rescale
from robust.defenses.base import Defense
from robust.types import Images, Labels, Scalar, Scores


@final
class Standard(Defense):
    """A standard network is trained without any defense.

    With cross-entropy its scores are the logits. With the squared error they are their softmax,
    which orders the classes alike and is flat where the network is confident. But cross-entropy on
    logits is flat there, too, in float32 (see `Rescale`). So an undefended network may also lack a
    gradient.

    Examples:
        >>> defense = robust.Standard(robust.MLP())
        >>> defense(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        network: Images to logits of shape (N, K).
        loss: ``cross_entropy``, or ``mse``, the squared error of the softmax to the one-hot label.
        transform: Input transform; the identity if None.
        optimizer: Builds the optimizer.
        scheduler: Builds a learning-rate scheduler.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Literal["cross_entropy", "mse"] = "cross_entropy",
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(network, transform, optimizer, scheduler)
        self.loss = loss

    def forward(self, x: Images) -> Scores:
        """Return the logits, or with ``mse`` their softmax."""
        logits = self.outputs(x)
        return logits if self.loss == "cross_entropy" else logits.softmax(dim=1)

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return the cross-entropy of the logits, or the mean squared error of their softmax."""
        if self.loss == "cross_entropy":
            return F.cross_entropy(self.outputs(x), y)
        probabilities = self(x)
        return F.mse_loss(probabilities, one_hot(y, probabilities))

    def adaptive_view(self) -> nn.Module:
        """Return the logits, kept from saturating, with the gradient let through a transform."""
        return Rescale(self.outputs_view())

    def published_view(self) -> nn.Module:
        """Return the network without transform; with ``mse`` it is `SquaredErrorOfLogits`."""
        if self.loss == "cross_entropy":
            return super().published_view()
        return SquaredErrorOfLogits(self.network)


@final
class SquaredErrorOfLogits(nn.Module):
    """This view has the logits; the attacker climbs their squared error, not their softmax's.

    The authors' code did so: cleverhans 2.1.0 takes the input of a last softmax for the outputs of
    a network (https://github.com/seansaito/code-book-defenses).

    Args:
        network: Images to logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Images) -> Scores:
        """Return the logits."""
        return self.network(x)  # type: ignore[no-any-return]

    def objective(self, outputs: Scores, y: Labels) -> Float[Tensor, " n"]:
        """Return the mean squared error of the logits to the one-hot vector of ``y``."""
        return (outputs - one_hot(y, outputs)).square().mean(dim=1)


def one_hot(y: Labels, like: Scores) -> Scores:
    """Return one-hot vectors of the classes, of the shape and type of ``like``."""
    return torch.zeros_like(like).scatter_(1, y.view(-1, 1), 1.0)
