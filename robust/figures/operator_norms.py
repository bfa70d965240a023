"""The figure shows operator norms by layer: Figure 4 of Saito and Roy 2018, https://arxiv.org/abs/1812.00181."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lightning.pytorch.loggers import Logger
from matplotlib.figure import Figure

from robust.figures.figure_files import save_figure
from robust.measures.lipschitz import OperatorNorm, product_bound
from robust.results.colors import COLORS, MARKERS
from robust.tracking import log_figures, log_table


def plot_operator_norms(runs: Mapping[str, Sequence[OperatorNorm]], path: Path) -> Path:
    """Plot the norms layer by layer, one line a run: Figure 4 of Saito and Roy 2018.

    Args:
        runs: Norms by the names of their runs.
        path: PNG file to write; its folder is made if absent.

    Raises:
        ConfigError: If ``path`` cannot be written.
    """
    layers = list(dict.fromkeys(norm.layer for norms in runs.values() for norm in norms))
    figure = Figure(
        figsize=(max(6.0, 2.5 + 0.28 * len(layers)), 5.5), dpi=100, layout="constrained"
    )
    axes = figure.subplots()
    for i, (name, norms) in enumerate(runs.items()):
        axes.plot(
            [layers.index(norm.layer) for norm in norms],
            [norm.norm for norm in norms],
            color=COLORS[i % len(COLORS)],
            marker=MARKERS[i % len(MARKERS)],
            label=f"{name}: product {product_bound(norms):.4g}",
        )
    axes.set_xticks(range(len(layers)), layers, rotation=90, fontsize=10)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("operator norm (L2)", fontsize=12)
    axes.set_title("Largest singular value of each layer", fontsize=14)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", fontsize=11, frameon=False, ncols=1)
    return save_figure(figure, path)


def log_lipschitz(
    loggers: Iterable[Logger], norms: Sequence[OperatorNorm], path: str | Path
) -> None:
    """Show the norms of a run in W&B: ``lipschitz/norms``, and the figure ``lipschitz/layers``.

    Args:
        loggers: Those that are not W&B's are left alone.
        norms: Of one run.
        path: PNG file of `plot_operator_norms`.
    """
    loggers = list(loggers)
    rows = [(n.layer, n.kind, "x".join(map(str, n.size or ())), n.norm) for n in norms]
    product = ("product", "", "", product_bound(norms))
    columns = ["layer", "kind", "feature map", "norm"]
    log_table(loggers, "lipschitz/norms", columns, [*rows, product])
    log_figures(loggers, {"lipschitz/layers": path})
