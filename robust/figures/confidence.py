"""The figure shows how confident a network is over the plane, for points of two classes.

Zantedeschi et al. 2017, https://arxiv.org/abs/1707.06728 (Fig. 2), show how
augmentation changes it on circles and half-moons.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from robust.attacks import isolated
from robust.data import ImageDataModule
from robust.defenses.base import Defense
from robust.errors import ConfigError
from robust.figures.figure_files import save_figure
from robust.results.colors import COLORS
from robust.types import Batch, Images

_COLUMNS = 3
_CLASSES = (COLORS[0], COLORS[3])


class Confidence(NamedTuple):
    """Softmax output of the second class on a grid over the square [0, 1] x [0, 1]."""

    ticks: Float[torch.Tensor, " p"]
    """Coordinates of the grid along each axis."""
    p: Float[torch.Tensor, "p p"]
    """``p[i, j]`` belongs to the second coordinate ``ticks[i]`` and the first ``ticks[j]``."""
    slope: Float[torch.Tensor, "p p"]
    """L2 norm of its gradient, per side of the square."""

    @property
    def roughness(self) -> float:
        """Root mean square of the slope: the narrower a boundary of a given length, the larger.

        The mean would be the mean length of the contours (coarea formula), however close they lie.
        """
        return self.slope.square().mean().sqrt().item()


def confidence(defense: Defense, points: int = 101) -> Confidence:
    """Return the deployed confidence of a network for points of two classes.

    A point is an image of shape (1, 1, 2). Modes, gradients and random state stay as they were.

    Args:
        defense: Trained on points in the plane.
        points: Of the grid, along each axis, at least 2.
    """
    ticks = torch.linspace(0, 1, points)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    grid = torch.stack([x, y], dim=2).view(-1, 1, 1, 2).to(defense.device)
    with isolated(defense, defense.device, seed=0), torch.autocast(grid.device.type, enabled=False):
        p = defense(grid.requires_grad_()).softmax(dim=1)[:, 1]
        (gradient,) = torch.autograd.grad(p.sum(), grid)
    slope = gradient.flatten(1).norm(dim=1)
    values = (part.detach().cpu().view(points, points) for part in (p, slope))
    return Confidence(ticks, *values)


def check_plane(runs: Mapping[str, ImageDataModule]) -> None:
    """Raise unless all runs are on points of two classes.

    Args:
        runs: The data that they were trained on, by the names of the runs.

    Raises:
        ConfigError: With the run that is not.
    """
    for name, data in runs.items():
        if data.shape != (1, 1, 2) or data.num_classes != 2:
            raise ConfigError(
                "Expected runs on points of two classes, which are images of 1x1x2, but got "
                f"{'x'.join(map(str, data.shape))} and {data.num_classes} classes in {name}. Train "
                "with configs/toy/circles.yaml or moons.yaml."
            )


def plot_confidence(runs: Mapping[str, tuple[Defense, ImageDataModule]], path: Path) -> Path:
    """Plot the confidence of runs beside each other, with contours at every tenth.

    Points of the training set are large, and points that a training adds are small. Titles give
    `Confidence.roughness`.

    Args:
        runs: Defenses and the data that they were trained on, by the names of their runs.
        path: PNG file to write; its folder is made if absent.

    Raises:
        ConfigError: If there is no run, one is not on points of two classes, or ``path`` cannot be
            written.
    """
    if not runs:
        raise ConfigError("Expected at least one run to plot, but got none.")
    check_plane({name: data for name, (_, data) in runs.items()})
    columns = min(_COLUMNS, len(runs))
    rows = math.ceil(len(runs) / columns)
    figure = Figure(figsize=(4 * columns + 1, 4.2 * rows), dpi=100, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (name, (defense, data)) in zip(panels, runs.items(), strict=False):
        filled = _plot(axes, name, defense, data)
    for axes in panels[len(runs) :]:
        axes.set_axis_off()
    bar = figure.colorbar(filled, ax=list(panels), shrink=0.8)
    bar.set_label("confidence in the second class", fontsize=12)
    return save_figure(figure, path)


def _plot(axes: Axes, name: str, defense: Defense, data: ImageDataModule) -> QuadContourSet:
    made = confidence(defense)
    ticks, p = made.ticks.numpy(), made.p.numpy()
    levels = [i / 10 for i in range(11)]
    filled = axes.contourf(ticks, ticks, p, levels, cmap="coolwarm", vmin=0, vmax=1)
    axes.contour(ticks, ticks, p, levels[1:-1], colors="black", linewidths=0.6)
    axes.contour(ticks, ticks, p, [0.5], colors="black", linewidths=2)
    clean, added = _points(defense, data)
    for batch, size in ((added, 5), (clean, 45)):
        for label, color in enumerate(_CLASSES):
            x, y = batch.x[batch.y == label].flatten(1).T.numpy()
            axes.scatter(
                x, y, size, color, edgecolors="white", linewidths=0.2 * math.sqrt(size / 5)
            )
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), aspect="equal")
    axes.set_title(f"{name}\nroughness {made.roughness:.3g}", fontsize=12)
    return filled


def _points(defense: Defense, data: ImageDataModule) -> tuple[Batch, Batch]:
    """Return the training points, and those that a training adds to them."""
    loader = data.train_dataloader()
    batches = [data.on_after_batch_transfer(batch, 0) for batch in loader]
    x, y, index = (torch.cat([batch[i] for batch in batches]) for i in range(3))
    bare = data.train_samples(index)
    noisy = (x != bare.x).flatten(1).any(dim=1)
    clean, added = (Batch(x[part], y[part], index[part]) for part in (~noisy, noisy))
    crafted = getattr(defense, "adversarial", None)
    if crafted is not None:
        adversarial: Images = crafted(*(part.to(defense.device) for part in clean[:2])).cpu()
        added = Batch(*map(torch.cat, zip(added, clean._replace(x=adversarial), strict=True)))
    return clean, added
