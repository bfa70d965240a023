"""Virtual adversarial training is that of Miyato et al. 2018, https://arxiv.org/abs/1704.03976."""

from collections.abc import Callable
from typing import final

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn

from robust.attacks import Attack
from robust.attacks.base import direction
from robust.defenses.crafting import CraftingDefense, kl_divergence
from robust.errors import ConfigError
from robust.types import Images, Labels, Scalar, Scores


@final
class VirtualAdversarial(CraftingDefense):
    """Training minimizes cross-entropy and how far the worst neighbour moves the prediction.

    The neighbour lies at L2 distance ``eps`` in the direction in which the network's distribution
    changes most (section 3.3). As in the paper it may lie outside of [0, 1]. The distribution of
    the clean image is a constant for the gradient (Eq. 5).

    The direction comes from outputs at two points that are ``xi`` apart, of which float32 rounds
    the difference. So images of a batch and of a part of it agree to ``1e-6 / xi`` of ``eps``, on
    CPU and CUDA alike. Where the network is so confident that its outputs hardly change, they agree
    less.

    Zantedeschi et al. 2017 mean something else by VAT: virtual adversarial images of an undefended
    network as further training data. That is `AdversarialTraining` with a source and
    `VirtualAdversarialImages` for its attack.

    Examples:
        >>> defense = robust.VirtualAdversarial(robust.MLP())
        >>> defense(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        network: Images to logits of shape (N, K).
        eps: L2 distance in pixel units, not negative.
        xi: See `VirtualAdversarialImages`.
        power_iterations: See `VirtualAdversarialImages`; 1 in the paper.
        weight: Factor of the divergence in the loss, not negative; 1 in the paper.
        transform: Input transform; the identity if None.
        optimizer: Builds the optimizer.
        scheduler: Builds a learning-rate scheduler.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        network: nn.Module,
        eps: float = 2.1,
        xi: float = 0.01,
        power_iterations: int = 1,
        weight: float = 1.0,
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(network, transform, optimizer, scheduler)
        if not weight >= 0:
            raise ConfigError(f"Expected `weight` to be non-negative, but got {weight}.")
        self.eps, self.xi, self.power_iterations = eps, xi, power_iterations
        self.weight = weight
        self._attack(network)  # to refuse its arguments before any work is done

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return cross-entropy plus weighted divergence, averaged over the batch."""
        virtual = self.virtual(x, y)
        outputs = self.outputs(x)
        divergence = kl_divergence(outputs.detach(), self.outputs(virtual)).mean()
        return F.cross_entropy(outputs, y) + self.weight * divergence

    def virtual(self, x: Images, y: Labels) -> Images:
        """Return the worst neighbours of ``x``, of its shape; ``y`` does not matter."""
        return self.crafted(self._attack, self.outputs_view(), x, y, self.current_epoch)

    def _attack(self, view: nn.Module) -> Attack:
        return VirtualAdversarialImages(view, self.eps, self.xi, self.power_iterations, clip=False)


@final
class VirtualAdversarialImages(Attack):
    """This attack steps by ``eps`` in the direction in which the distribution changes most.

    It needs no labels. An image where the distribution does not change at all stays as it is.

    Args:
        model: View to attack.
        eps: L2 distance in pixel units before clipping, not negative; 2.1 in Zantedeschi et al.
        xi: Length of the finite difference in pixel units, positive. The 1e-6 of both papers is
            too short for float32, which rounds most of it away.
        power_iterations: At least 1; 5 in Zantedeschi et al.
        clip: Whether to clip to [0, 1].
        released: Whether to compute as Zantedeschi et al. did; see `released_direction`.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 2.1,
        xi: float = 0.01,
        power_iterations: int = 5,
        clip: bool = True,
        released: bool = False,
    ) -> None:
        super().__init__(model)
        self.supported_mode = ["default"]
        if not eps >= 0:
            raise ConfigError(
                f"Expected `eps` to be non-negative, but got {eps}. Give it in pixel units."
            )
        if not xi > 0:
            raise ConfigError(f"Expected `xi` to be positive, but got {xi}. Give 0.01 or so.")
        if power_iterations < 1:
            raise ConfigError(
                f"Expected `power_iterations` to be at least 1, but got {power_iterations}."
            )
        self.norm = "L2"
        self.eps, self.xi, self.power_iterations, self.clip = eps, xi, power_iterations, clip
        self.released = released

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return virtual adversarial images of the same shape; ``labels`` do not matter."""
        start = self.random_streams(images).normal(*images.shape[1:]).to(images.dtype)
        find = released_direction if self.released else virtual_direction
        towards = find(self.model, images, start, self.xi, self.power_iterations)
        moved = images + self.eps * towards
        return moved.clamp(0, 1) if self.clip else moved


def virtual_direction(
    view: nn.Module, x: Images, start: Images, xi: float, power_iterations: int
) -> Images:
    """Return the direction of L2 length 1 in which the softmax of ``view`` changes most.

    The divergence from the distribution at ``x`` has its minimum there. So its gradient at a small
    distance is its Hessian (the Fisher information metric) times that step. Each iteration
    multiplies by the Hessian and normalizes (Miyato et al. 2018, Eq. 12 to 15). The direction is
    zero for an image whose gradient vanishes.

    Args:
        view: Images to logits.
        x: Where; images in [0, 1].
        start: First direction, of any length.
        xi: Length of the step in pixel units.
        power_iterations: Number of multiplications.
    """
    with torch.no_grad():
        clean = view(x)
    return _iterated(
        lambda moved: kl_divergence(clean, view(moved)).sum(),
        lambda gradient: direction(gradient, "L2"),
        x,
        start,
        xi,
        power_iterations,
    )


def released_direction(
    view: nn.Module, x: Images, start: Images, xi: float, power_iterations: int
) -> Images:
    """Return what the authors' code took for that direction: zero for most trained images.

    They gave cleverhans' `vatm` (its version 1) probabilities where it expects logits, so that it
    compares softmaxes of softmaxes. With the 1e-6 of its ``xi`` nothing of the difference is left
    in float32 once the network is confident. A gradient below 1e-12 is not scaled to length 1
    either, but towards 0. The images to train on are then the clean ones a second time. Theirs is
    the mean over a batch, which makes gradients smaller still. This is the sum, which is each
    image's own.

    Arguments are those of `virtual_direction`; the result has an L2 length of at most 1.
    """

    def log_probabilities(images: Images) -> Scores:
        return view(images).softmax(dim=1).log_softmax(dim=1)  # type: ignore[no-any-return]

    with torch.no_grad():
        clean = log_probabilities(x)
    return _iterated(
        lambda moved: (clean.exp() * (clean - log_probabilities(moved))).sum(),
        _stabilized,
        x,
        start,
        xi,
        power_iterations,
    )


def _iterated(
    divergence: Callable[[Images], Scalar],
    normalized: Callable[[Images], Images],
    x: Images,
    start: Images,
    xi: float,
    power_iterations: int,
) -> Images:
    """Multiply ``start`` by the Hessian of the divergence at ``x`` again and again."""
    found = normalized(start)
    for _ in range(power_iterations):
        step = (xi * found).requires_grad_()
        (gradient,) = torch.autograd.grad(divergence(x + step), step)
        found = normalized(gradient)
    return found


def _stabilized(x: Images) -> Images:
    """Scale nearly to L2 length 1, as cleverhans: what is below 1e-12 becomes shorter."""
    scaled = x / (1e-12 + x.abs().amax(dim=(1, 2, 3), keepdim=True))
    return scaled * (1e-6 + scaled.square().sum(dim=(1, 2, 3), keepdim=True)).rsqrt()
