"""The figure shows what a defense recalls: Figures 2 and 3 of Paranjape, Dubey and Gopalan 2020.

https://arxiv.org/abs/2006.01408. Their Figures 4 to 7, an adversarial image and its difference, are
in `robust.figures.adversarials`.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from matplotlib.figure import Figure
from torch import Tensor

from robust.duck_typing import ByAttribute
from robust.errors import ConfigError
from robust.figures.class_titles import ClassNames, class_title, says
from robust.figures.figure_files import save_figure
from robust.figures.images import plot_image
from robust.types import Batch, Images, Scores


@runtime_checkable
class Recalls(Protocol, metaclass=ByAttribute):
    """A defense whose network outputs an image, which is compared to one of each class."""

    representatives: Tensor
    """An image of each class, flattened, (K, d)."""

    def recalled(self, x: Images) -> Images:
        """Return what the network outputs for images."""
        ...

    def __call__(self, x: Images) -> Scores:
        """Return the scores of the deployed network."""
        ...


@torch.no_grad()
def plot_recalled(
    defense: Recalls, batch: Batch, path: Path, *, count: int = 10, names: ClassNames = ()
) -> Path:
    """Plot images, what the network recalls, and the representative that is nearest to that.

    Args:
        defense: Trained, in eval mode.
        batch: Images to choose from: the first of each class, in the order of the classes.
        path: PNG file to write; its folder is made if absent.
        count: How many to show at most, at least 1.
        names: Names of the classes; their numbers are shown without.

    Raises:
        ConfigError: If there is no image, ``count`` is below 1, or ``path`` cannot be written.
    """
    labels = batch.y.tolist()
    chosen = [labels.index(label) for label in sorted(set(labels))][: max(count, 0)]
    if not chosen:
        raise ConfigError(
            f"Expected an image and a `count` of at least 1, but got {len(labels)} and {count}."
        )
    x = batch.x[chosen].to(defense.representatives.device)
    predicted = defense(x).argmax(dim=1).cpu()
    nearest = defense.representatives.cpu()[predicted].view(x.shape)
    rows = {"image": x, "recalled": defense.recalled(x).clamp(0, 1), "nearest": nearest}
    figure = Figure(figsize=(1.2 + 1.3 * len(x), 5.2), dpi=100, layout="constrained")
    figure.suptitle("Images, what the network recalls, and the nearest representative", fontsize=13)
    grid = figure.subplots(len(rows), len(x), squeeze=False)
    for line, (row, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, images, strict=True):
            plot_image(axes, image)
        line[0].set_ylabel(row, rotation=0, ha="right", va="center", fontsize=10)
    for column, i in enumerate(chosen):
        grid[0, column].set_title(class_title(labels[i], names), fontsize=10)
        misclassified = int(predicted[column]) != labels[i]
        title = says(int(predicted[column]), names)
        grid[-1, column].set_title(title, fontsize=10, weight="bold" if misclassified else "normal")
    return save_figure(figure, path)
