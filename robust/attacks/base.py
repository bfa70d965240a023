"""What our own attacks share: checked input, and random numbers that belong to a sample."""

from collections.abc import Collection

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn
from torchattacks.attack import Attack as TorchAttack

from robust.attacks.finite import finite_gradients
from robust.errors import ConfigError
from robust.random_streams import Draws as Draws
from robust.random_streams import sample_seeds as sample_seeds
from robust.types import Images, Labels, Norm, Scores


class Attack(TorchAttack):  # type: ignore[misc]
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
        with finite_gradients(self.model, innermost=True):
            x_adv: Images = super().__call__(inputs, labels)
        minimal = "eps" not in vars(self)
        return (
            self._extended_until_misclassified(inputs, x_adv, labels)
            if minimal and self.judge is not None
            else x_adv
        )

    def _extended_until_misclassified(self, x: Images, x_adv: Images, y: Labels) -> Images:
        """Images a little further out, where the judge still sees those of the attack's as whole.

        A minimal-norm attack ends at the boundary of the view. Where the judge's scores tie there,
        its own boundary is somewhat further on the same line. An image that the view has not lost
        is nowhere near it, though an attack such as JSMA may have changed it.
        """
        target = self.target(x, y)
        result = x_adv.clone()
        with torch.no_grad():
            seen: Labels = self.get_logits(x_adv).argmax(dim=1)
        moved = seen != y if target is None else seen == target
        for factor in _FURTHER:
            whole = moved & ~self._broken(result, y, target)
            if not whole.any():
                return result
            further = (x + factor * (x_adv - x)).clamp(0, 1)
            result[whole] = further[whole]
        whole = moved & ~self._broken(result, y, target)
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

    def _broken(self, x_adv: Images, y: Labels, target: Labels | None) -> Bool[Tensor, " n"]:
        """Whether the judge sees each image as no longer of ``y``, or as of ``target``."""
        predicted = self.predict(x_adv)
        return predicted != y if target is None else predicted == target

    def seen_broken(
        self, x: Images, scores: Scores, y: Labels, target: Labels | None
    ) -> Bool[Tensor, " n"]:
        """Which images are broken by the view's ``scores`` of them, and by the judge as well."""
        predicted = scores.argmax(dim=1)
        broken = predicted != y if target is None else predicted == target
        if self.judge is not None and broken.any():
            goal = None if target is None else target[broken]
            broken[broken.clone()] = self._broken(x[broken], y[broken], goal)
        return broken

    def target(self, images: Images, labels: Labels) -> Labels | None:
        """The class that each image shall become; None if the attack is untargeted."""
        if not self.targeted:
            return None
        return self.get_target_label(images, labels)  # type: ignore[no-any-return]


_FURTHER = (1.005, 1.01, 1.02, 1.05, 1.1, 1.2, 1.5)
"""How much further than the view's boundary a judge may have its own."""


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Raise a ConfigError unless an attack's argument is one of some values."""
    if value not in choices:
        raise ConfigError(
            f"Expected `{name}` to be one of {', '.join(map(str, choices))}, but got {value!r}."
        )


def direction(gradient: Images, norm: Norm) -> Images:
    """The step of length 1 in ``norm`` that climbs fastest; zero where the gradient is zero."""
    if norm == "Linf":
        return gradient.sign()
    # The scale first: squares of gradients below 1e-19 are zero in float32.
    largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
    gradient = gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / gradient.square().sum(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
