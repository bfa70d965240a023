"""Figures show adversarial images of several runs: what an attack needs and what it finds.

Saito and Roy 2018, https://arxiv.org/abs/1812.00181 (Fig. 1 to 3), and Zantedeschi et al. 2017,
https://arxiv.org/abs/1707.06728 (Fig. 1), show defenses in this way.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from robust.attacks import sample_seeds
from robust.defenses.base import Defense
from robust.errors import ConfigError, nearest
from robust.evaluation.suite import Suite
from robust.evaluation.targets import random_targets
from robust.figures.class_titles import ClassNames, class_title, class_word, says
from robust.figures.figure_files import save_figure
from robust.figures.images import plot_image
from robust.figures.smallest_eps import predict, smallest_eps
from robust.io.radius import radius
from robust.results.curves import families
from robust.results.records import Target
from robust.threat import distance
from robust.types import Batch, Images, Labels, Norm


class Adversarials(NamedTuple):
    """Images that an attack found, and what a defense predicts on them."""

    label: str
    """Such as the run, the view and the eps; each comma and slash starts a new line."""
    x_adv: Images
    predictions: Labels
    norm: Norm | None = None
    """Norm of the distances below misclassified images; None for attacks with one eps."""


def members(suite: Suite, attack: str) -> list[str]:
    """Return the attack of that name, or the attacks of that family by eps.

    Raises:
        ConfigError: If the suite has neither.
    """
    if attack in suite.infos:
        return [attack]
    named = families(suite.infos)
    if attack not in named:
        names = dict.fromkeys([*named, *suite.infos])
        raise ConfigError(
            f"Expected an attack of suite {suite.name}, but got {attack!r}. Choose one of "
            f"{', '.join(names)}.{nearest(attack, names)}"
        )
    return named[attack]


def plot_grid(
    suite: Suite,
    defenses: Mapping[str, Defense],
    batch: Batch,
    attack: str,
    path: Path,
    *,
    count: int = 5,
    changes: bool = True,
    names: ClassNames = (),
) -> Path:
    """Run one attack of a suite on the same images for every defense and view, and plot them.

    The images are the first that all defenses classify correctly and that are not of the target's
    class. They are crafted again, so a randomized attack may find other images than the records.
    ``attack`` may also name a family of attacks that differ in ``eps`` (see `curves.families`).
    Each row then shows the smallest eps at which all its images are misclassified. For an attack
    that looks for the nearest image, each image shows its distance.

    Args:
        suite: The suite.
        defenses: By the names of their runs.
        batch: Images to choose from.
        attack: A name of the suite, or of a family in it.
        path: PNG file to write; its folder is made if absent.
        count: How many images to show at most.
        changes: Whether to show below each row what changed.
        names: Names of the classes; their numbers are shown without.

    Raises:
        ConfigError: If the suite has no such attack, the defenses have no correct image in common,
            or ``path`` cannot be written.
    """
    chosen_attacks = members(suite, attack)
    info = suite.infos[chosen_attacks[0]]
    models = {run: defense.cpu() for run, defense in defenses.items()}
    chosen = _choose(list(models.values()), batch, info.target, suite.seed, count)
    attacks = {suite.infos[name].eps: suite.builders[name] for name in chosen_attacks}
    rows = []
    for seen in _views(suite, models):
        found = smallest_eps(
            seen.defense,
            seen.view,
            attacks,
            chosen.x,
            chosen.y,
            target=chosen.target,
            sample_seeds=chosen.seeds,
            judge=seen.judge,
            transferred=suite.source is not None,
            allowed=suite.allowed(chosen_attacks[0]),
        )
        label = seen.label
        if len(chosen_attacks) > 1:
            label += (
                f", eps = {radius(found.eps)}"
                if found.eps
                else f", none up to {radius(max(attacks))}"
            )
        predictions = predict(seen.defense, found.x_adv)
        norm = info.norm if info.minimal else None
        rows.append(Adversarials(label, found.x_adv, predictions, norm))
    budget = f"smallest {info.norm} eps for all" if len(chosen_attacks) > 1 else info.budget
    title = f"{attack}, {budget}"
    return plot_adversarials(
        *chosen[:2],
        rows,
        path,
        title=title,
        target=chosen.target,
        index=chosen.index,
        changes=changes,
        names=names,
    )


def plot_adversarials(
    x: Images,
    y: Labels,
    rows: Sequence[Adversarials],
    path: Path,
    *,
    title: str = "",
    target: Labels | None = None,
    index: Labels | None = None,
    changes: bool = True,
    names: ClassNames = (),
) -> Path:
    """Plot clean images at the top, then for each row the adversarial ones and what changed.

    The title of an image is what the row's defense predicts. Changes have one symmetric colour
    scale a row. With several channels, the one that changes most is shown.

    Args:
        x: Clean images in [0, 1].
        y: Their labels.
        rows: One for each defense, or view of it.
        path: PNG file to write; its folder is made if absent.
        title: Above all.
        target: Classes that the images should become, if any.
        index: Indices of the images in the test set, to be shown.
        changes: Whether to show what changed.
        names: Names of the classes; their numbers are shown without.

    Raises:
        ConfigError: If ``path`` cannot be written.
    """
    count, lines = len(x), 1 + changes
    widest = max((len(line) for row in rows for line in _lines(row.label)), default=0)
    size = (1.3 + 0.08 * widest + 1.45 * count, 1.0 + 1.7 * (1 + lines * len(rows)))
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=13)
    grid = figure.subplots(1 + lines * len(rows), count, squeeze=False)
    goals = (
        [""] * count
        if target is None
        else [f", target {class_word(t, names)}" for t in target.tolist()]
    )
    numbers = [""] * count if index is None else [f"image {i}\n" for i in index.tolist()]
    for i, axes in enumerate(grid[0]):
        plot_image(axes, x[i])
        axes.set_title(f"{numbers[i]}{class_title(int(y[i]), names)}{goals[i]}", fontsize=10)
    _name(grid[0, 0], "clean")
    for i, row in enumerate(rows):
        adversarial = grid[1 + lines * i]
        lengths = distance(x.cpu(), row.x_adv.cpu(), row.norm).tolist() if row.norm else []
        for k, axes in enumerate(adversarial):
            plot_image(axes, row.x_adv[k])
            misclassified = bool(row.predictions[k] != y[k])
            far = f"\n{row.norm} {lengths[k]:.3g}" if lengths and misclassified else ""
            weight = "bold" if misclassified else "normal"
            said = says(int(row.predictions[k]), names)
            axes.set_title(f"{said}{far}", fontsize=10, weight=weight)
        _name(adversarial[0], row.label)
        if changes:
            _plot_differences(figure, list(grid[2 + 2 * i]), row.x_adv.cpu() - x.cpu())
            _name(grid[2 + 2 * i, 0], "change")
    return save_figure(figure, path)


class _Chosen(NamedTuple):
    x: Images
    y: Labels
    target: Labels | None
    seeds: Labels
    index: Labels  # type: ignore[assignment] # a column, not tuple's method


def _choose(
    models: Sequence[Defense], batch: Batch, target: Target | None, seed: int, count: int
) -> _Chosen:
    """Return the first images that all models classify correctly and that are not of the target."""
    x, y, index = (part.cpu() for part in batch)
    seeds = sample_seeds(seed, index)
    targets = None if target is None else _targets(models[0], x, y, target, seeds)
    usable = torch.ones_like(y, dtype=torch.bool)
    for model in models:
        usable &= predict(model, x) == y
    if targets is not None:
        usable &= targets != y
    chosen = usable.nonzero().flatten()[:count]
    if not len(chosen):
        raise ConfigError(
            "Expected an image that all runs classify correctly, of another class than the target, "
            f"but got none among {len(y)}. Train longer, or compare fewer runs."
        )
    goal = None if targets is None else targets[chosen]
    return _Chosen(x[chosen], y[chosen], goal, seeds[chosen], index[chosen])


@torch.no_grad()
def _targets(model: Defense, x: Images, y: Labels, target: Target, seeds: Labels) -> Labels:
    if target == "random":
        return random_targets(seeds, y, model(x[:1]).shape[1])
    return torch.full_like(y, target)


class _Seen(NamedTuple):
    label: str
    defense: Defense
    view: nn.Module
    judge: Defense | None


def _views(suite: Suite, models: Mapping[str, Defense]) -> Iterator[_Seen]:
    """Yield every view of every run once, with what judges it in the records."""
    for run, defense in models.items():
        if suite.source is not None:
            view = suite.source.defense.cpu().view(suite.source.view)
            yield _Seen(f"{run}, transfer", defense, view, None)
            continue
        views: dict[nn.Module, list[str]] = {}
        for name in suite.views:
            views.setdefault(defense.view(name), []).append(name)
        for module, names in views.items():
            judge = None if module is defense or names == ["published"] else defense
            yield _Seen(f"{run}, {' = '.join(names)}", defense, module, judge)


def _plot_differences(figure: Figure, panels: list[Axes], delta: Images) -> None:
    largest = delta.abs().max().item()
    limit = largest or 1.0
    for axes, change in zip(panels, delta, strict=True):
        shown = axes.imshow(_strongest(change).numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set(xticks=[], yticks=[])
    bar = figure.colorbar(shown, ax=panels, ticks=[-limit, 0, limit], pad=0.01, aspect=8)
    bar.ax.set_yticklabels([f"{t:.2g}" for t in (-limit, 0, limit)], fontsize=9)
    bar.set_label("pixel units", fontsize=9)


def _strongest(change: Tensor) -> Tensor:
    """Return of each pixel the change of the channel that changes most, with its sign."""
    channel = change.abs().argmax(dim=0, keepdim=True)
    return change.gather(0, channel)[0]


def _name(axes: Axes, text: str) -> None:
    label = "\n".join(_lines(text))
    axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10)


def _lines(label: str) -> list[str]:
    return label.replace("/", "/, ").split(", ")
