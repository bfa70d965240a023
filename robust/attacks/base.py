"""What our own attacks share: checked input, and random numbers that belong to a sample."""

from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torchattacks.attack import Attack

from robust.types import Images, Labels, Norm, Scores


@final
class Draws:
    """Random numbers of each sample, the same whoever shares the batch with it.

    A counter-based generator: each number is a hash of the sample's seed and its place in the
    stream (splitmix64, Steele et al. 2014, https://doi.org/10.1145/2660193.2660195), so all samples
    are drawn for at once and a sample's stream does not depend on the others.

    Args:
        seeds: One seed a sample; samples of equal seeds get equal numbers.
    """

    def __init__(self, seeds: Int64[Tensor, " n"]) -> None:
        self._seeds = seeds
        self._place = torch.zeros_like(seeds)

    def uniform(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Numbers in [0, 1), float32, of shape (n, *shape)."""
        count = int(torch.Size(shape).numel())
        places = self._place.view(-1, 1) + torch.arange(count, device=self._seeds.device)
        self._place = self._place + count
        bits = _splitmix64(_splitmix64(self._seeds.view(-1, 1)) + places)
        # The upper 24 bits: as many as a float32 in [0, 1) holds exactly.
        numbers = (bits >> 40 & 0xFFFFFF).to(torch.float32) * 2.0**-24
        return numbers.view(-1, *shape)

    def normal(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Standard normal numbers, float32, of shape (n, *shape). Box and Muller 1958."""
        first, second = self.uniform(2, *shape).unbind(dim=1)
        radius = (-2 * torch.log1p(-first)).sqrt()
        return radius * torch.cos(2 * torch.pi * second)

    def sign(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Numbers -1 or 1, float32, of shape (n, *shape)."""
        return torch.where(self.uniform(*shape) < 0.5, -1.0, 1.0)

    def __getitem__(self, chosen: Tensor) -> "Draws":
        """The streams of some samples, by mask or index, from where they are; a copy."""
        part = Draws(self._seeds[chosen])
        part._place = self._place[chosen]
        return part


class OwnAttack(Attack):  # type: ignore[misc]
    """Base of our attacks. Abstract: a subclass defines ``forward(images, labels)``.

    Input is checked before the attack runs. ``craft`` sets `sample_seeds`, from which `draws` makes
    random numbers; without it they come from torch's global random state. It also sets `judge`, the
    defense whose predictions count: where its scores are exactly equal, it may still predict the
    label of an image that the view has lost. With `transferred`, a net out of reach judges, and an
    attack that has a budget should use it up.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(type(self).__name__, model)
        self.supported_mode = ["default", "targeted"]
        self.sample_seeds: Int64[Tensor, " n"] | None = None
        self.judge: nn.Module | None = None
        self.transferred = False

    def __call__(self, inputs: Tensor, labels: Labels) -> Images:
        """Adversarial images of the shape of ``inputs``.

        Raises:
            ValueError: If ``inputs`` are no floating-point images in [0, 1].
        """
        if not inputs.is_floating_point():
            raise ValueError(
                f"Expected images of a floating-point type, but got {inputs.dtype}. Divide by 255."
            )
        if len(inputs) and not (inputs.min() >= 0 and inputs.max() <= 1):
            raise ValueError(
                f"Expected images in [0, 1], but got {inputs.min():.6g} to {inputs.max():.6g}. "
                "Put normalization into the network's first layer."
            )
        x_adv: Images = super().__call__(inputs, labels)
        minimal = "eps" not in vars(self)
        return self._pushed(inputs, x_adv, labels) if minimal and self.judge is not None else x_adv

    def _pushed(self, x: Images, x_adv: Images, y: Labels) -> Images:
        """Images a little further out, where the judge still sees those of the attack's as whole.

        A minimal-norm attack ends at the boundary of the view. Where the judge's scores tie there,
        its own boundary is somewhat further on the same line.
        """
        target = self.target(x, y)
        result = x_adv.clone()
        moved = (x_adv != x).flatten(1).any(dim=1)
        for factor in _FURTHER:
            predicted = self.predict(result)
            whole = moved & (predicted == y if target is None else predicted != target)
            if not whole.any():
                return result
            further = (x + factor * (x_adv - x)).clamp(0, 1)
            result[whole] = further[whole]
        predicted = self.predict(result)
        whole = moved & (predicted == y if target is None else predicted != target)
        result[whole] = x_adv[whole]
        return result

    def draws(self, images: Images) -> Draws:
        """Random numbers for each of the images."""
        seeds = self.sample_seeds
        if seeds is None:
            seeds = torch.randint(2**62, (len(images),), device=images.device)
        return Draws(seeds)

    @torch.no_grad()
    def predict(self, x: Images) -> Labels:
        """Classes that the judge predicts; the view's where there is no other judge."""
        scores: Scores = self.get_logits(x) if self.judge is None else self.judge(x)
        return scores.argmax(dim=1)

    def target(self, images: Images, labels: Labels) -> Labels | None:
        """The class that each image shall become; None if the attack is untargeted."""
        if not self.targeted:
            return None
        return self.get_target_label(images, labels)  # type: ignore[no-any-return]


_FURTHER = (1.005, 1.01, 1.02, 1.05, 1.1, 1.2, 1.5)
"""How much further than the view's boundary a judge may have its own."""


def direction(gradient: Images, norm: Norm) -> Images:
    """The step of length 1 in ``norm`` that climbs fastest; zero where the gradient is zero."""
    if norm == "Linf":
        return gradient.sign()
    # The scale first: squares of gradients below 1e-19 are zero in float32.
    largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
    gradient = gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / gradient.square().sum(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)


def sample_seeds(seed: int, index: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """A seed for each sample, of a common seed and the sample's place in its dataset."""
    return _splitmix64(index).bitwise_xor(seed)


def _splitmix64(x: Int64[Tensor, "..."]) -> Int64[Tensor, "..."]:
    """The finalizer of splitmix64 on 64-bit integers, which wrap around as it needs."""
    x = x + _GOLDEN
    x = (x ^ _shifted(x, 30)) * _MULTIPLIERS[0]
    x = (x ^ _shifted(x, 27)) * _MULTIPLIERS[1]
    return x.bitwise_xor(_shifted(x, 31))


def _shifted(x: Int64[Tensor, "..."], bits: int) -> Int64[Tensor, "..."]:
    # torch has no unsigned shift: clear the copies of the sign.
    return x.bitwise_right_shift(bits).bitwise_and(2 ** (64 - bits) - 1)


def _signed(x: int) -> int:
    return x - 2**64 if x >= 2**63 else x


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MULTIPLIERS = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))
