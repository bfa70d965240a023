"""These are the attacks of Wang et al. 2018, as the authors' code ran them.

Paper: https://arxiv.org/abs/1809.08516. The code works on standardized pixels,
z = (x - mean) / std, and differs from the paper in two ways that decide its numbers. The sign
attacks clip z to [0, 1]. So even at a radius of 0 an image loses what is darker than the mean, or
brighter than a standard deviation above it. The single step goes down the loss instead of up. This
is the code's first release, the nearest to the paper. `FGSM`, `IFGSM` and `CarliniWagner` are the
attacks of the paper's equations.
"""

from typing import final

import torch
from torch import nn

from robust import losses
from robust.attacks.base import Attack
from robust.attacks.gradient.base import GradientAttack
from robust.errors import ConfigError
from robust.networks import Normalize
from robust.threat import ThreatModel
from robust.types import Images, Labels

PerChannel = tuple[float, ...]

_MEAN: PerChannel = (0.507, 0.487, 0.441)
_STD: PerChannel = (0.267, 0.256, 0.276)


def _normalize(images: Images, mean: PerChannel, std: PerChannel) -> Normalize:
    if len(mean) not in (1, images.shape[1]):
        raise ConfigError(
            f"Expected images of {len(mean)} channels, as `mean` and `std` have, but got "
            f"{images.shape[1]}. Give the attack one number for each channel, or one for all."
        )
    return Normalize(mean, std).to(images)


@final
class ReleasedFGSM(GradientAttack):
    """This attack is FGSM or IFGSM in standardized pixels, clipped there to [0, 1].

    The authors' FGSM is one step of ``radius`` with ``descend``: it lowers the loss. Their IFGSM is
    ten steps of 1 up the loss, each projected to the radius. In pixels, such an image can be
    anywhere in [0, 1]: the attack's ``eps`` is 1, in Linf, which its threat model must allow.

    Args:
        model: View to attack.
        radius: Linf radius around the standardized image, in standard deviations, not negative: the
            code's eps, of which 0.1 is 0.027 in pixel units.
        step: Length of a step in standard deviations; ``radius`` if None.
        steps: Gradient steps.
        descend: Whether to go down the loss.
        mean: Of each channel, or of all, in pixel units; CIFAR-10's in the code by default.
        std: Standard deviation of each channel, likewise.

    Raises:
        ConfigError: If an argument is out of range, or images have another number of channels.
    """

    def __init__(
        self,
        model: nn.Module,
        radius: float = 0.02,
        step: float | None = None,
        steps: int = 1,
        descend: bool = False,
        mean: PerChannel = _MEAN,
        std: PerChannel = _STD,
    ) -> None:
        if not radius >= 0:
            raise ConfigError(f"Expected `radius` to be non-negative, but got {radius}.")
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", 1.0),
            alpha=radius if step is None else step,
            steps=steps,
            early_stop=False,
        )
        Normalize(mean, std)  # which checks them
        self.radius, self.descend, self.mean, self.std = radius, descend, mean, std

    def _moved(self, x: Images, x_adv: Images, step_direction: Images) -> Images:
        normalize = _normalize(x, self.mean, self.std)
        z, z_adv = normalize(x), normalize(x_adv)
        z_adv = z_adv + (-self.alpha if self.descend else self.alpha) * step_direction
        near = torch.maximum(torch.minimum(z_adv, z + self.radius), z - self.radius)
        return normalize.inverse(near.clamp(0, 1)).clamp(0, 1)


@final
class ReleasedCarliniWagner(Attack):
    """This attack lowers |w - z|^2 + c max(margin, 0) in standardized pixels, without a search.

    Adam takes the steps. Image w is what the last one left, whether it is adversarial or not. The
    code clips nothing; here pixels are clipped to [0, 1] at the end, as an image's are. In pixels
    it can be anywhere: the attack's ``eps`` is 1, in Linf, which its threat model must allow.

    Args:
        model: View to attack.
        c: Weight of the margin, by which the label's score exceeds the best other one; positive.
        steps: Steps of Adam, at least 1.
        lr: Their learning rate in standard deviations, positive.
        mean: Of each channel, or of all, in pixel units; CIFAR-10's in the code by default.
        std: Standard deviation of each channel, likewise.

    Raises:
        ConfigError: If an argument is out of range, or images have another number of channels.
    """

    def __init__(
        self,
        model: nn.Module,
        c: float = 10.0,
        steps: int = 10,
        lr: float = 0.01,
        mean: PerChannel = _MEAN,
        std: PerChannel = _STD,
    ) -> None:
        super().__init__(model)
        for name, value in (("c", c), ("lr", lr)):
            if not value > 0:
                raise ConfigError(f"Expected `{name}` to be positive, but got {value}.")
        if steps < 1:
            raise ConfigError(f"Expected `steps` to be at least 1, but got {steps}.")
        Normalize(mean, std)  # which checks them
        self.eps = 1.0
        self.c, self.steps, self.lr, self.mean, self.std = c, steps, lr, mean, std

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape."""
        target = self.target(images, labels)
        normalize = _normalize(images, self.mean, self.std)
        z = normalize(images)
        w = z.clone().requires_grad_()
        adam = torch.optim.Adam([w], lr=self.lr)
        for _ in range(self.steps):
            scores = self.get_logits(normalize.inverse(w)).to(w.dtype)
            if target is None:
                behind = -losses.margin(scores, labels)
            else:
                behind = losses.margin(scores, target)
            loss = (w - z).square().sum() + self.c * behind.clamp_min(0).sum()
            (w.grad,) = torch.autograd.grad(loss, w)
            adam.step()
        return normalize.inverse(w.detach()).clamp(0, 1)
