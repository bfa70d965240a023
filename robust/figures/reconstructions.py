"""The figure shows what an input transform does to clean and to adversarial images.

Wang et al. 2018 (https://arxiv.org/abs/1809.08516), Figure 2, shows total variation minimization
in this way.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn

from robust.errors import ConfigError
from robust.figures.figure_files import save_figure
from robust.figures.images import plot_image
from robust.types import Images


def plot_reconstructions(rows: Mapping[str, Images], transform: nn.Module, path: Path) -> Path:
    """Plot images, and below each of their rows the output of ``transform`` in eval mode.

    Each reconstruction shows its distance to the first row's image in its column, as root mean
    square over pixels in [0, 1]. A transform that removes the perturbation comes nearer.

    Args:
        rows: Equally many images in each, such as the clean ones and those of an attack, by name.
        transform: Images to images of the same shape.
        path: PNG file to write; its folder is made if absent.

    Raises:
        ConfigError: If there is no image, the rows differ in shape, or ``path`` cannot be written.
    """
    shapes = {tuple(x.shape) for x in rows.values()}
    if len(shapes) != 1 or 0 in next(iter(shapes)):
        raise ConfigError(
            f"Expected rows of images of one shape, but got {sorted(shapes)}. Give the same images "
            "to every row."
        )
    made = _with_reconstructions(rows, transform)
    clean = next(iter(made.values()))
    count = len(clean)
    figure = Figure(figsize=(1.6 + 1.5 * count, 1.8 * len(made)), dpi=100, layout="constrained")
    grid = figure.subplots(len(made), count, squeeze=False)
    for panels, (name, x) in zip(grid, made.items(), strict=True):
        distances = (x - clean).square().mean(dim=(1, 2, 3)).sqrt().tolist()
        for axes, image, distance in zip(panels, x, distances, strict=True):
            plot_image(axes, image)
            axes.set_xlabel(f"RMS {distance:.3f}" if distance else "", fontsize=9)
        panels[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return save_figure(figure, path)


@torch.no_grad()
def _with_reconstructions(rows: Mapping[str, Images], transform: nn.Module) -> dict[str, Images]:
    training, made = transform.training, {}
    transform.eval()
    for name, x in rows.items():
        made[name] = x.detach().cpu()
        made[f"{name},\n{type(transform).__name__}"] = transform(x.detach()).cpu()
    transform.train(training)
    return made
