"""Our own attacks share checked input, and random numbers that belong to a sample."""

from collections.abc import Collection

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn
from torchattacks.attack import Attack as TorchAttack

from robust.attacks.cells import brought_nearer
from robust.attacks.finite import finite_gradients
from robust.errors import ConfigError, nearest
from robust.random_streams import RandomStreams as RandomStreams
from robust.random_streams import sample_seeds as sample_seeds
from robust.transforms.quantized import Cells
from robust.types import Images, Labels, Norm, Scores


class Attack(TorchAttack):  # type: ignore[misc]
    """Our attacks derive from this abstract class and define ``forward(images, labels)``.

    Input is checked before the attack runs. ``craft`` sets `sample_seeds`, from which
    `random_streams` makes random numbers. Without it they come from torch's global random state.

    ``craft`` also sets `judge`, the defense whose predictions count. Where its scores are exactly
    equal, it may still predict the label of an image that the view misclassifies. With
    `transferred`, a network that the attack cannot see judges. Then an attack that has a budget
    should use all of it.

    Behind a quantizing transform, ``craft`` sets `cells`. Every success then goes to the nearest
    image of its cell, and distances count from there.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(type(self).__name__, model)
        self.supported_mode = ["default", "targeted"]
        self.sample_seeds: Int64[Tensor, " n"] | None = None
        self.judge: nn.Module | None = None
        self.transferred = False
        self.cells: Cells | None = None

    def __call__(self, inputs: Tensor, labels: Labels) -> Images:
        """Return adversarial images of the shape of ``inputs``.

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
        if minimal and self.judge is not None:
            x_adv = self._extended_until_misclassified(inputs, x_adv, labels)
        return (
            x_adv if self.cells is None else self._brought_nearer(self.cells, inputs, x_adv, labels)
        )

    def nearest_alike(self, x: Images, x_adv: Images) -> Images:
        """Return the images nearest to ``x`` in the cells of ``x_adv``; these without cells."""
        return x_adv if self.cells is None else self.cells.nearest(x, x_adv)

    def _brought_nearer(self, cells: Cells, x: Images, x_adv: Images, y: Labels) -> Images:
        target = self.target(x, y)

        def succeeds(images: Images, rows: Int64[Tensor, " m"]) -> Bool[Tensor, " m"]:
            return self._succeeds(images, y[rows], None if target is None else target[rows])

        result = brought_nearer(cells, x, x_adv, succeeds)
        threat_model = vars(self).get("threat_model")
        if threat_model is None:
            return result
        # An attack that counts distances of cells leaves them where the judge does not follow.
        outside = threat_model.distance(x, result) > threat_model.limit
        return torch.where(outside.view(-1, 1, 1, 1), cells.nearest(x, x_adv), result)

    def _extended_until_misclassified(self, x: Images, x_adv: Images, y: Labels) -> Images:
        """Move images a little further out where only the view misclassifies them, not the judge.

        A minimal-norm attack ends at the boundary of the view. Where the judge's scores tie there,
        its own boundary is somewhat further on the same line. An image that the view classifies
        correctly is far from it, though an attack such as JSMA may have changed it.
        """
        target = self.target(x, y)
        result = x_adv.clone()
        with torch.no_grad():
            seen: Labels = self.get_logits(x_adv).argmax(dim=1)
        moved = seen != y if target is None else seen == target
        for factor in _FURTHER:
            tied = moved & ~self._succeeds(result, y, target)
            if not tied.any():
                return result
            further = (x + factor * (x_adv - x)).clamp(0, 1)
            result[tied] = further[tied]
        tied = moved & ~self._succeeds(result, y, target)
        result[tied] = x_adv[tied]
        return result

    def random_streams(self, images: Images) -> RandomStreams:
        """Return the random stream of each image."""
        seeds = self.sample_seeds
        if seeds is None:
            seeds = torch.randint(2**62, (len(images),), device=images.device)
        return RandomStreams(seeds)

    @torch.no_grad()
    def predict(self, x: Images) -> Labels:
        """Return the classes that the judge predicts, or the view where there is no other judge."""
        scores: Scores = self.get_logits(x) if self.judge is None else self.judge(x)
        return scores.argmax(dim=1)

    def _succeeds(self, x_adv: Images, y: Labels, target: Labels | None) -> Bool[Tensor, " n"]:
        """Say whether the attack succeeds on each image: not of ``y``, or of ``target``."""
        predicted = self.predict(x_adv)
        return predicted != y if target is None else predicted == target

    def halved(self, x: Images, x_adv: Images, y: Labels, target: Labels | None) -> Images:
        """Return the images on the line to the clean ones that are just beyond the boundary."""
        inside, outside = x, x_adv
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            success = self._succeeds(middle, y, target).view(-1, 1, 1, 1)
            outside = torch.where(success, middle, outside)
            inside = torch.where(success, inside, middle)
        return outside

    def seen_success(
        self, x: Images, scores: Scores, y: Labels, target: Labels | None
    ) -> Bool[Tensor, " n"]:
        """Say on which images the attack succeeds by the view's ``scores`` and by the judge."""
        predicted = scores.argmax(dim=1)
        success = predicted != y if target is None else predicted == target
        if self.judge is not None and success.any():
            goal = None if target is None else target[success]
            success[success.clone()] = self._succeeds(x[success], y[success], goal)
        return success

    def target(self, images: Images, labels: Labels) -> Labels | None:
        """Return the class that each image shall become; None if the attack is untargeted."""
        if not self.targeted:
            return None
        return self.get_target_label(images, labels)  # type: ignore[no-any-return]


_HALVINGS = 8
_FURTHER = (1.005, 1.01, 1.02, 1.05, 1.1, 1.2, 1.5)
"""The judge's boundary is looked for so much further out than the view's."""


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Raise a ConfigError unless an attack's argument is one of some values."""
    if value not in choices:
        raise ConfigError(
            f"Expected `{name}` to be one of {', '.join(map(str, choices))}, but got {value!r}."
            f"{nearest(value, choices)}"
        )


def direction(gradient: Images, norm: Norm) -> Images:
    """Return the step of length 1 in ``norm`` that climbs fastest; zero where the gradient is."""
    if norm == "Linf":
        return gradient.sign()
    # The scale first: squares of gradients below 1e-19 are zero in float32.
    largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
    gradient = gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / gradient.square().sum(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
