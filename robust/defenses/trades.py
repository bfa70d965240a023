"""TRADES is the loss of Zhang et al. 2019, https://arxiv.org/abs/1901.08573."""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from robust.attacks import RandomStreams
from robust.attacks.gradient.base import GradientAttack
from robust.defenses.crafting import CraftingDefense, kl_divergence
from robust.errors import ConfigError
from robust.threat import ThreatModel
from robust.types import Images, Labels, Scalar, Scores


@final
class Trades(CraftingDefense):
    """TRADES minimizes the cross-entropy of clean images and how far predictions move (Eq. 5).

    It trades accuracy for robustness. The second term, of weight ``beta``, is the largest
    divergence of the network's distribution within ``eps``, which needs no label.

    Examples:
        >>> defense = robust.Trades(robust.MLP(), eps=0.3, steps=10)
        >>> defense(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        network: Images to logits of shape (N, K).
        eps: Linf radius in pixel units, not negative; 0.3 for MNIST and 0.031 for CIFAR-10 in the
            paper.
        alpha: Length of a step in pixel units, not negative; 0.01 and 0.007.
        steps: Gradient steps of the attack, at least 1; 40 and 10.
        beta: Weight of the divergence (1 / lambda in the paper), not negative.
        transform: Input transform; the identity if None.
        optimizer: Builds the optimizer.
        scheduler: Builds a learning-rate scheduler.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        network: nn.Module,
        eps: float = 0.3,
        alpha: float = 0.01,
        steps: int = 40,
        beta: float = 6.0,
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(network, transform, optimizer, scheduler)
        if not beta >= 0:
            raise ConfigError(f"Expected `beta` to be non-negative, but got {beta}.")
        self.eps, self.alpha, self.steps, self.beta = eps, alpha, steps, beta
        self._attack(network)  # to refuse its arguments before any work is done

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return cross-entropy plus weighted divergence, averaged over the batch."""
        x_adv = self.adversarial(x, y)
        outputs = self.outputs(x)
        divergence = kl_divergence(outputs, self.outputs(x_adv)).mean()
        return F.cross_entropy(outputs, y) + self.beta * divergence

    def adversarial(self, x: Images, y: Labels) -> Images:
        """Return images within ``eps`` whose distribution diverges most from that at ``x``."""

        def attack(view: nn.Module) -> GradientAttack:
            # `craft` builds an attack where the view is in the mode in which it is attacked.
            with torch.no_grad():
                return self._attack(DivergenceView(view, view(x)))

        return self.crafted(attack, self.outputs_view(), x, y, self.current_epoch)

    def _attack(self, view: nn.Module) -> GradientAttack:
        return PGDFromNearby(view, self.eps, self.alpha, self.steps)


@final
class DivergenceView(nn.Module):
    """This view has logits, which the attacker wants to diverge from given ones.

    Args:
        view: Images to logits of shape (N, K).
        clean: Logits of the clean images, (N, K), in the order in which all of them are attacked.
    """

    def __init__(self, view: nn.Module, clean: Scores) -> None:
        super().__init__()
        self.view = view
        self.clean = clean

    def forward(self, x: Images) -> Scores:
        """Return the logits."""
        return self.view(x)  # type: ignore[no-any-return]

    def objective(self, outputs: Scores, y: Labels) -> Float[Tensor, " n"]:
        """Return the divergence of the given distributions from ``outputs``; ``y`` is unused."""
        return kl_divergence(self.clean, outputs)


@final
class PGDFromNearby(GradientAttack):
    """This attack is PGD in Linf, started near the image, where a divergence has a slope.

    Args:
        model: View to attack.
        eps: Radius in pixel units, not negative.
        alpha: Length of a step in pixel units, not negative.
        steps: Number of steps, at least 1.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(self, model: nn.Module, eps: float, alpha: float, steps: int) -> None:
        threat_model = ThreatModel("Linf", eps)
        super().__init__(
            model,
            threat_model=threat_model,
            alpha=alpha,
            steps=steps,
            random_start=True,
            early_stop=False,
        )

    def _start(self, x: Images, streams: RandomStreams) -> Images:
        noise = streams.normal(*x.shape[1:]).to(x.dtype)
        return self.threat_model.project(x, x + _NEARBY * noise)


_NEARBY = 0.001
"""This is the standard deviation of the start in pixel units, as in the authors' code."""
