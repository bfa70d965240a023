"""Outputs recall an image of the class: Paranjape, Dubey and Gopalan 2020.

https://arxiv.org/abs/2006.01408, sections III and IV. Their INOI is `Recall`, their IBOI is
`Recall` behind `robust.transforms.Binarize`; their IBOL is `Standard` behind it.
"""

import math
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from robust.attacks.views import Rescale
from robust.data import ImageDataModule
from robust.data.of_trainer import required_image_module
from robust.data.samples import Pixels
from robust.defenses.base import Defense
from robust.defenses.codewords import NetworkCallable, codeword_scores
from robust.errors import ConfigError
from robust.types import Images, Labels, Scalar, Scores

Choice = Literal["first", "medoid"] | list[int]
"""``first`` is the first image of each class in the training set, as in the paper. ``medoid`` is
the image with the least mean squared error to the others of its class. A list has the index of a
training image for each class, in their order.
"""


@final
class Recall(Defense):
    """Each class is one of its images; the nearest to the network's output is the prediction.

    Training minimizes the mean squared error between the output, which is linear, and the
    representative of the label. Representatives are taken from the training images of the data
    module when the first training begins, also from those for validation. They go through the
    input transform, and are kept in the checkpoint.

    Examples:
        >>> defense = robust.Recall(robust.MLP)
        >>> defense(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        network: Builds the network of as many outputs as an image has numbers.
        shape: (C, H, W) of an image.
        representatives: Which images to recall, see `Choice`.
        num_classes: Representatives, at least 2.
        transform: Input transform, of the representatives too; the identity if None.
        optimizer: Builds the optimizer.
        scheduler: Builds a learning-rate scheduler.

    Raises:
        ConfigError: If a number is out of range, or indices are not one a class.
    """

    def __init__(
        self,
        network: NetworkCallable,
        shape: tuple[int, int, int] = (1, 28, 28),
        representatives: Choice = "first",
        num_classes: int = 10,
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        if min(shape) < 1:
            raise ConfigError(f"Expected `shape` to be (C, H, W) of an image, but got {shape}.")
        if num_classes < 2:
            raise ConfigError(f"Expected `num_classes` to be at least 2, but got {num_classes}.")
        if not isinstance(representatives, str) and len(representatives) != num_classes:
            raise ConfigError(
                f"Expected one training image for each of the {num_classes} classes in "
                f"`representatives`, but got {len(representatives)}. Give them in the order of "
                "the classes, or set `num_classes`."
            )
        super().__init__(network(math.prod(shape)), transform, optimizer, scheduler)
        self.shape, self.choice, self.num_classes = shape, representatives, num_classes
        self.representatives: Tensor
        # Not a number until they are chosen, so that no score is either.
        chosen = torch.full((num_classes, math.prod(shape)), torch.nan)
        self.register_buffer("representatives", chosen)

    def outputs(self, x: Images) -> Float[Tensor, "n d"]:
        """Return the recalled images, flattened; any real numbers.

        Raises:
            ConfigError: If they are not as many as an image has.
        """
        outputs = super().outputs(x)
        if outputs.shape[1] != math.prod(self.shape):
            raise ConfigError(
                f"Expected a network of {math.prod(self.shape)} outputs, one for each number of an "
                f"image, but {type(self.network).__name__} has {outputs.shape[1]}. Choose a "
                "network whose first argument is the number of its outputs."
            )
        return outputs

    def recalled(self, x: Images) -> Images:
        """Return what the network makes of images, in their shape; not clipped to [0, 1]."""
        return self.outputs(x).view(-1, *self.shape)

    def forward(self, x: Images) -> Scores:
        """Return minus the squared Euclidean distances of the outputs to the representatives."""
        return codeword_scores(self.outputs(x), self.representatives)

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return the squared error to the label's representative, mean over batch and outputs."""
        return F.mse_loss(self.outputs(x), self.representatives[y])

    def adaptive_view(self) -> nn.Module:
        """Return the same scores, not saturated, with the gradient let through a transform."""
        return Rescale(_Distances(self.outputs_view(), self.representatives))

    def setup(self, stage: str) -> None:
        """Check that network and data fit, and choose the representatives unless that is done.

        Raises:
            ConfigError: As `choose`, or if there are no training images to choose from.
        """
        super().setup(stage)
        if not self.representatives.isnan().any():
            return
        self.choose(required_image_module(self.trainer, "representatives"))

    @torch.no_grad()
    def choose(self, data: ImageDataModule) -> None:
        """Take the representatives from training images.

        Raises:
            ConfigError: If a class has no image, an index is out of range or of another class, or
                two representatives are equal behind the input transform.
        """
        index = representatives_of(
            self.choice, data.train_images, data.train_labels, self.num_classes
        )
        images = self.transform(data.train_samples(index).x.to(self.representatives.device))
        if len(torch.unique(images.flatten(1), dim=0)) < self.num_classes:
            raise ConfigError(
                f"Expected representatives that differ, but training images {index.tolist()} do "
                "not behind the input transform. Choose others by "
                "`model.init_args.representatives`."
            )
        self.representatives.copy_(images.flatten(1))

    def check_fit(self, shape: tuple[int, int, int], num_classes: int, name: str) -> None:
        """Raise if images or classes are others than those to recall.

        Raises:
            ConfigError: If they are, with both shapes or numbers and which setting to change.
        """
        if tuple(shape) != tuple(self.shape):
            raise ConfigError(
                f"Expected to recall the {'x'.join(map(str, shape))} images of {name}, but got "
                f"{'x'.join(map(str, self.shape))}. Set `model.init_args.shape`."
            )
        if num_classes != self.num_classes:
            raise ConfigError(
                f"Expected one representative for each of the {num_classes} classes of {name}, but "
                f"got {self.num_classes}. Set `model.init_args.num_classes`."
            )
        super().check_fit(shape, num_classes, name)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise if a checkpoint is of other representatives, which its network has learned.

        Raises:
            ConfigError: If so.
        """
        stored = checkpoint["state_dict"].get("representatives")
        chosen = not self.representatives.isnan().any()
        if (
            chosen
            and stored is not None
            and not torch.equal(stored.cpu(), self.representatives.cpu())
        ):
            raise ConfigError(
                f"Expected a checkpoint of the representatives {self.choice!r}, but it recalls "
                "other images. Give the `model.init_args.representatives` that it was trained with."
            )


@final
class _Distances(nn.Module):
    """This gives minus the squared distances of outputs to the representatives."""

    def __init__(self, network: nn.Module, representatives: Tensor) -> None:
        super().__init__()
        self.network = network
        self.representatives: Tensor
        self.register_buffer("representatives", representatives)

    def forward(self, x: Images) -> Scores:
        return codeword_scores(self.network(x), self.representatives)


def representatives_of(
    choice: Choice, x: Pixels, y: Labels, num_classes: int
) -> Int64[Tensor, " k"]:
    """Return the index of the image that represents each class, (num_classes,).

    Args:
        choice: See `Choice`.
        x: Training images.
        y: Their labels.
        num_classes: How many to choose.

    Raises:
        ConfigError: If a class has no image, or an index is out of range or of another class.
    """
    if not isinstance(choice, str):
        for label, index in enumerate(choice):
            _check_index(index, label, y)
        return torch.tensor(choice)
    return torch.stack([_one_of(choice, x, y, label) for label in range(num_classes)])


def _one_of(choice: Literal["first", "medoid"], x: Pixels, y: Labels, label: int) -> Tensor:
    indices = (y == label).nonzero().flatten()
    if not len(indices):
        raise ConfigError(
            f"Expected a training image of class {label} to represent it, but there is none. Set "
            "`model.init_args.num_classes` to the number of classes."
        )
    if choice == "first":
        return indices[0]
    images = x[indices].flatten(1).float()
    # The sum of squared distances to all is least for the one nearest to their mean.
    return indices[(images - images.mean(dim=0)).square().sum(dim=1).argmin()]


def _check_index(index: int, label: int, y: Labels) -> None:
    if not 0 <= index < len(y):
        raise ConfigError(
            f"Expected indices of training images, 0 to {len(y) - 1}, in `representatives`, but "
            f"got {index} for class {label}. Choose another."
        )
    if y[index] != label:
        raise ConfigError(
            f"Expected a training image of class {label} to represent it, but {index} is of class "
            f"{int(y[index])}. Give `representatives` in the order of the classes."
        )
