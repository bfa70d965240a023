"""Label smoothing is here as Zantedeschi et al. 2017 compare with it.

https://arxiv.org/abs/1707.06728, section 4.1, after Warde-Farley and Goodfellow 2016.
"""

from typing import final

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn

from robust.attacks.views import Rescale
from robust.defenses.base import Defense
from robust.errors import ConfigError
from robust.types import Images, Labels, Scalar


@final
class LabelSmoothing(Defense):
    """Training minimizes the cross-entropy to a label that leaves some probability to others.

    The loss is least where the logit of the label is log(w (K - 1) / (1 - w)) above the others.
    That is 4.4 for w = 0.9 and ten classes. So the logits stay where the gradient of cross-entropy
    is far from zero in float32. The adaptive view is those logits, shrunk where they span more than
    10.

    Examples:
        >>> defense = robust.LabelSmoothing(robust.MLP(), smoothing=0.9)
        >>> defense(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        network: Images to logits of shape (N, K), K at least 2.
        smoothing: w, the probability of the true class, in (0, 1]; the others share the rest
            equally. 0.9 in the paper; 1 is training without smoothing. (PyTorch's
            ``label_smoothing`` is another number, (1 - w) K / (K - 1).)
        transform: Input transform; the identity if None.
        optimizer: Builds the optimizer.
        scheduler: Builds a learning-rate scheduler.

    Raises:
        ConfigError: If ``smoothing`` is not in (0, 1].
    """

    def __init__(
        self,
        network: nn.Module,
        smoothing: float = 0.9,
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(network, transform, optimizer, scheduler)
        if not 0 < smoothing <= 1:
            raise ConfigError(
                f"Expected `smoothing` to be in (0, 1], but got {smoothing}. Give the probability "
                "of the true class, such as 0.9."
            )
        self.smoothing = smoothing

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return the cross-entropy of the softmax to the smoothed label, mean over the batch."""
        log_p = self.outputs(x).log_softmax(dim=1)
        label = log_p.gather(1, y.view(-1, 1)).squeeze(1)
        others = (log_p.sum(dim=1) - label) / (log_p.shape[1] - 1)
        return -(self.smoothing * label + (1 - self.smoothing) * others).mean()

    def adaptive_view(self) -> nn.Module:
        """Return the logits, kept from saturating, with the gradient let through a transform."""
        return Rescale(self.outputs_view())
