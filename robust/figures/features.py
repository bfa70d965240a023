"""The figure shows two classes on two axes as the last layer sees them, clean and attacked.

Wang et al. 2018, https://arxiv.org/abs/1809.08516 (Fig. 4), show their networks in this way.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from robust.attacks import isolated
from robust.defenses.base import Defense
from robust.duck_typing import ByAttribute
from robust.errors import ConfigError
from robust.figures.figure_files import save_figure
from robust.results.colors import COLORS, MARKERS
from robust.types import Images, Labels

Features = Float[Tensor, "n d"]

_CLASSES = (COLORS[0], COLORS[3])


@runtime_checkable
class _HasFeatures(Protocol, metaclass=ByAttribute):
    """A defense that has a method for the features that it classifies."""

    def features(self, x: Images) -> Features:
        """Return the features of images, behind the input transform."""
        ...


class Separation(NamedTuple):
    """How far two classes are apart along the line through their means."""

    distance: float
    """Distance of the means, in standard deviations along that line within a class."""
    overlap: float
    """Share of the points that are nearer to the mean of the other class."""

    @staticmethod
    def from_features(features: Features, second: Bool[Tensor, " n"]) -> "Separation":
        """Return the separation of points, of which ``second`` marks the second class."""
        first, other = features[~second].double(), features[second].double()
        axis = other.mean(dim=0) - first.mean(dim=0)
        length = axis.norm()
        within = torch.cat([part - part.mean(dim=0) for part in (first, other)]) @ axis / length
        middle = (first.mean(dim=0) + other.mean(dim=0)) / 2
        wrong = ((features.double() - middle) @ axis > 0) != second
        spread = within.square().mean().sqrt()
        return Separation((length / spread).item(), wrong.double().mean().item())


def features_of(defense: Defense, x: Images, transform: nn.Module | None = None) -> Features:
    """Return what the network classifies linearly or by a graph.

    For most networks that is the input of the last linear layer. Modes and random state stay as
    they were.

    Args:
        defense: Trained.
        x: Images in [0, 1], on its device.
        transform: Replaces its input transform; the identity if None.

    Raises:
        ConfigError: If its network has no linear layer.
    """
    layers = [layer for layer in defense.network.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ConfigError(
            "Expected a network with a linear layer, whose input to plot, but "
            f"{type(defense.network).__name__} has none. Leave this run out."
        )
    seen: list[Tensor] = []
    handle = layers[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    own, defense.transform = defense.transform, transform or nn.Identity()
    try:
        with isolated(defense, x.device, seed=0), torch.no_grad():
            if isinstance(defense, _HasFeatures):
                return defense.features(x)
            defense.outputs(x)
            return seen[0].flatten(1)
    finally:
        defense.transform = own
        handle.remove()


def plot_features(
    runs: Mapping[str, Mapping[str, Features]], y: Labels, path: Path, *, names: tuple[str, str]
) -> Path:
    """Plot features on the two principal axes of the first kind of each run, such as the clean one.

    Each run is a row, each kind a column. Titles give `Separation` in the space of all features.

    Args:
        runs: Features of the same images by run and kind, such as ``clean`` and ``FGSM``.
        y: Labels of the images, 0 for the first class and 1 for the second.
        path: PNG file to write; its folder is made if absent.
        names: Names of both classes.

    Raises:
        ConfigError: If there is no run, a class has fewer than two images, or there are other
            labels. Also if there are not as many features as labels, or ``path`` cannot be written.
    """
    counts = y.bincount(minlength=2).tolist()
    sizes = {len(features) for kinds in runs.values() for features in kinds.values()}
    if len(counts) != 2 or min(counts) < 2 or sizes != {len(y)}:
        raise ConfigError(
            "Expected features of runs of two or more images of each of two classes, but got "
            f"{counts} images by class and features of {sorted(sizes)}. Give more images."
        )
    second = y.bool().cpu()
    columns = max(len(kinds) for kinds in runs.values())
    size = (4.2 * columns + 0.6, 4.2 * len(runs) + 0.5)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    grid = figure.subplots(len(runs), columns, squeeze=False, sharex="row", sharey="row")
    for panels, (name, kinds) in zip(grid, runs.items(), strict=True):
        clean = next(iter(kinds.values())).detach().cpu().double()
        axes_of_most = torch.linalg.svd(clean - clean.mean(dim=0), full_matrices=False).Vh[:2]
        for axes, (kind, features) in zip(panels, kinds.items(), strict=False):
            features = features.detach().cpu().double()
            _plot(axes, (features - clean.mean(dim=0)) @ axes_of_most.T, second, names)
            distance, overlap = Separation.from_features(features, second)
            title = f"{kind}\nmeans {distance:.2f} sd apart, {100 * overlap:.0f} % overlap"
            axes.set_title(title, fontsize=11)
        for axes in panels[len(kinds) :]:
            axes.set_axis_off()
        panels[0].set_ylabel(name, fontsize=12)
    grid[0, 0].legend(fontsize=10)
    return save_figure(figure, path)


def _plot(
    axes: Axes,
    points: Float[Tensor, "n _"],
    second: Bool[Tensor, " n"],
    names: tuple[str, str],
) -> None:
    for label, (of_class, name) in enumerate(zip((~second, second), names, strict=True)):
        x, *rest = points[of_class].T.numpy()
        y = rest[0] if rest else 0 * x
        axes.scatter(
            x, y, 14, _CLASSES[label], marker=MARKERS[label], alpha=0.7, linewidths=0, label=name
        )
