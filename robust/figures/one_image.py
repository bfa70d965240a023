"""Figures show the loss around one image and its scores, deployed and through the adaptive view.

They are Figures 6 and 7 of Tuna et al. 2022, https://arxiv.org/abs/2202.07342, for any defense.
"""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from torch import Tensor, nn

from robust.attacks import isolated
from robust.defenses.base import Defense
from robust.errors import ConfigError
from robust.figures.class_titles import ClassNames, class_title, class_word
from robust.figures.figure_files import save_figure
from robust.figures.images import plot_image
from robust.figures.recalled import Recalls, plot_recalled
from robust.figures.surfaces import Image, Label, Surface, loss_surface
from robust.io.radius import radius
from robust.results.colors import COLORS
from robust.types import Batch, Images, Scores

_DPI = 100
_SURFACES_NOTE = (
    "Dot: the image itself. Each panel has its own range of losses. Pixels are clipped to [0, 1].\n"
    "Where the gradient is exactly zero, both directions are random."
)


def plot_loss_surfaces(
    defense: Defense,
    x: Image,
    y: Label,
    target: int,
    eps: float,
    path: Path,
    *,
    names: ClassNames = (),
) -> Path:
    """Plot the loss surfaces of an image: deployed above adaptive, untargeted beside targeted.

    Each surface has its own range of losses, which its title gives. Differences that are only
    rounding look flat.

    Args:
        defense: Trained defense.
        x: The image, in [0, 1], on the defense's device.
        y: Its label.
        target: Class of the targeted attack.
        eps: Half the side of each plane, positive, in pixel units.
        path: PNG file to write; its folder is made if absent.
        names: Names of the classes; their numbers are shown without.

    Raises:
        ConfigError: As `loss_surface`, or if ``path`` cannot be written.
    """
    figure = Figure(figsize=(12, 11), dpi=_DPI)
    title = f"{_title(defense)}: loss around an image of {_of(y, names)}, eps = {radius(eps)}"
    figure.suptitle(title, fontsize=17)
    figure.text(0.5, 0.012, _SURFACES_NOTE, ha="center", fontsize=11)
    goals = ((None, "untargeted"), (target, f"targeted to {class_title(target, names)}"))
    panels = product(_views(defense).items(), goals)
    for number, ((name, view), (goal, attack)) in enumerate(panels, start=1):
        axes = figure.add_subplot(2, 2, number, projection="3d")
        _plot_surface(axes, loss_surface(view, x, y, goal, eps), f"{name}, {attack}")
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.09, top=0.88, wspace=0.02, hspace=0.24)
    return save_figure(figure, path)


def plot_scores(
    defense: Defense, x: Image, y: Label, path: Path, *, names: ClassNames = ()
) -> Path:
    """Plot an image beside the softmax of its scores, deployed and through the adaptive view.

    Args:
        defense: Trained defense.
        x: The image, in [0, 1], on the defense's device.
        y: Its label, which is marked.
        path: PNG file to write; its folder is made if absent.
        names: Names of the classes; their numbers are shown without.

    Raises:
        ConfigError: If ``path`` cannot be written.
    """
    softmax = {
        name: _isolated_scores(v, x)[0].softmax(dim=0) for name, v in _views(defense).items()
    }
    figure = Figure(figsize=(12, 5), dpi=_DPI, layout="constrained")
    figure.suptitle(f"{_title(defense)}: scores of an image of {_of(y, names)}\n", fontsize=17)
    image, bars = figure.subplots(1, 2, width_ratios=(1, 3))
    plot_image(image, x[0])
    _plot_bars(bars, softmax, int(y), names)
    return save_figure(figure, path)


def plot_figures(
    defense: Defense, batch: Batch, folder: Path, *, target: int, eps: float
) -> dict[str, Path]:
    """Plot all `figures_of` a defense; the arguments are the same.

    Returns:
        The files under the keys to log them by.

    Raises:
        ConfigError: If ``target`` is no class of the defense, there is no such image, or as
            `plot_loss_surfaces`.
    """
    makers = figures_of(defense, batch, folder, target=target, eps=eps)
    return {key: make() for key, make in makers.items()}


def figures_of(
    defense: Defense,
    batch: Batch,
    folder: Path,
    *,
    target: int,
    eps: float,
    names: ClassNames = (),
) -> dict[str, Callable[[], Path]]:
    """Return a function for each figure of a defense, by the key to log it by.

    A figure that fails does not cost the others. Figures show the first image of a batch that the
    defense classifies correctly and that is not of class ``target``.

    Args:
        defense: Trained defense.
        batch: Images to choose from, on any device.
        folder: Where ``loss_surfaces.png`` and ``scores.png`` go, and ``recalled.png`` of a defense
            that recalls images; made if absent.
        target: Class of the targeted attack.
        eps: How far around the image to look, positive, in pixel units.
        names: Names of the classes; their numbers are shown without.
    """
    surfaces, bars = folder / "loss_surfaces.png", folder / "scores.png"
    makers: dict[str, Callable[[], Path]] = {
        "figures/loss_surfaces": lambda: plot_loss_surfaces(
            defense, *_first_usable(defense, batch, target), target, eps, surfaces, names=names
        ),
        "figures/scores": lambda: plot_scores(
            defense, *_first_usable(defense, batch, target), bars, names=names
        ),
    }
    if isinstance(defense, Recalls):
        recalled = folder / "recalled.png"
        makers["figures/recalled"] = lambda: _plot_recalled(defense, batch, recalled, names)
    return makers


def _plot_recalled(defense: Any, batch: Batch, path: Path, names: ClassNames) -> Path:  # noqa: ANN401
    with isolated(defense, defense.device, seed=0):
        return plot_recalled(defense, batch, path, names=names)


def _first_usable(defense: Defense, batch: Batch, target: int) -> tuple[Image, Label]:
    x, y = batch.x.to(defense.device), batch.y.cpu()
    scores = _isolated_scores(defense, x)
    if not 0 <= target < scores.shape[1]:
        raise ConfigError(
            f"Expected `target` to be a class, 0 to {scores.shape[1] - 1}, but got {target}. "
            "Choose one of them."
        )
    chosen = (scores.argmax(dim=1) == y) & (y != target)
    if not chosen.any():
        raise ConfigError(
            f"Expected a correctly classified image of another class than {target}, but got none "
            f"among {len(y)} images. Give more images, another target, or a better trained defense."
        )
    i = int(chosen.int().argmax())
    return x[i : i + 1], y[i : i + 1].to(x.device)


def _views(defense: Defense) -> dict[str, nn.Module]:
    adaptive = defense.adaptive_view()
    same = " (the same)" if adaptive is defense else ""
    return {"deployed view": defense, f"adaptive view{same}": adaptive}


def _title(defense: Defense) -> str:
    activation = getattr(defense, "activation", None)
    temperature = getattr(defense, "temperature", None)
    arguments = [activation] if isinstance(activation, str) else []
    if isinstance(temperature, int | float):
        arguments.append(f"T={temperature:g}")
    return type(defense).__name__ + (f"({', '.join(arguments)})" if arguments else "")


def _isolated_scores(view: nn.Module, x: Images) -> Scores:
    with isolated(view, x.device, seed=0), torch.autocast(x.device.type, enabled=False):
        return view(x.detach().clone()).detach().cpu()  # type: ignore[no-any-return]


def _plot_surface(axes: Any, surface: Surface, title: str) -> None:  # noqa: ANN401
    """Plot on 3-D axes, for which matplotlib ships no annotations."""
    low, high = _loss_limits(surface.loss)
    a, b = torch.meshgrid(surface.a, surface.b, indexing="ij")
    # Else the surface hides the dot.
    axes.computed_zorder = False
    axes.plot_surface(
        *(grid.numpy() for grid in (a, b, surface.loss)),
        cmap="viridis",
        vmin=low,
        vmax=high,
        rcount=len(surface.a),
        ccount=len(surface.b),
    )
    middle = len(surface.a) // 2
    axes.scatter([0], [0], [surface.loss[middle, middle].item()], color=COLORS[3], s=50)
    axes.set_zlim(low, high)
    axes.set_title(f"{title}\n{_summary(surface)}", fontsize=14)
    _label_axes(axes, surface)
    # From the lower left, so that the slope along the gradient is not seen edge on.
    axes.view_init(elev=25, azim=-125)
    axes.set_box_aspect((1, 1, 0.7), zoom=1)


def _label_axes(axes: Any, surface: Surface) -> None:  # noqa: ANN401
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(5 if axis is axes.zaxis else 4, steps=[1, 2, 5, 10]))
    axes.zaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.tick_params(labelsize=11)
    axes.tick_params(axis="z", pad=6)
    along = "random signs" if surface.zero_gradient else "sign of the gradient"
    axes.set_xlabel(f"{along}\n(pixel units)", labelpad=14, fontsize=12)
    axes.set_ylabel("random signs\n(pixel units)", labelpad=14, fontsize=12)
    axes.set_zlabel("cross-entropy", labelpad=16, fontsize=12)


def _summary(surface: Surface) -> str:
    low, high = surface.loss.min().item(), surface.loss.max().item()
    span = f"loss {low:.4g} to {high:.4g}"
    if low == high:
        span = f"loss {low:.4g} everywhere"
    elif f"{low:.4g}" == f"{high:.4g}":
        span = f"loss {low:.4g}, varying by {high - low:.1g}"
    return span + (", gradient exactly zero" if surface.zero_gradient else "")


def _loss_limits(loss: Tensor) -> tuple[float, float]:
    """Return limits of an axis on which differences that are only rounding look flat."""
    low, high = loss.min().item(), loss.max().item()
    size = max(1.0, abs(high))
    if high - low > 100 * torch.finfo(loss.dtype).eps * size:
        return low, high
    return low - 0.05 * size, high + 0.05 * size


def _of(y: Label, names: ClassNames) -> str:
    return class_title(int(y), names)


def _plot_bars(axes: Axes, softmax: dict[str, Tensor], label: int, names: ClassNames) -> None:
    classes = torch.arange(len(next(iter(softmax.values()))))
    axes.axvspan(
        label - 0.5, label + 0.5, color="0.9", label=f"true class, {class_word(label, names)}"
    )
    # The two numbers are aligned back to back, so that they fit over one class.
    sides: tuple[tuple[float, Literal["left", "right"]], ...] = ((-0.2, "right"), (0.2, "left"))
    for (name, p), color, (shift, side) in zip(softmax.items(), COLORS[:2], sides, strict=True):
        axes.bar((classes + shift).numpy(), p.numpy(), 0.4, label=name, color=color)
        top = int(p.argmax())
        point = (top + 0.1 * shift, p[top].item())
        axes.annotate(
            f"{p[top]:.3f}", point, (0, 3), textcoords="offset points", ha=side, fontsize=12
        )
    axes.set(ylim=(0, 1), xlim=(-0.6, len(classes) - 0.4))
    axes.xaxis.set_major_locator(MaxNLocator(20, integer=True))
    axes.set_xlabel("class", fontsize=13)
    axes.set_ylabel("softmax of the scores", fontsize=13)
    axes.tick_params(labelsize=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=12)
