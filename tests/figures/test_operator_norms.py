"""The figure of operator norms, and what a run logs of them."""

from matplotlib.image import imread

from robust.figures import operator_norms
from robust.figures.operator_norms import log_lipschitz, plot_operator_norms
from robust.measures.lipschitz import OperatorNorm

NORMS = [
    OperatorNorm("conv", "conv 3x3", 2.0, (8, 8)),
    OperatorNorm("head", "linear", 3.0, None),
]


def test_figure_is_an_image_with_the_products_in_its_legend(tmp_path, monkeypatch):
    plotted = []
    save = operator_norms.save_figure
    monkeypatch.setattr(
        operator_norms,
        "save_figure",
        lambda figure, path: plotted.append(figure) or save(figure, path),
    )
    path = plot_operator_norms({"a": NORMS, "b": NORMS[:1]}, tmp_path / "new" / "norms.png")
    assert imread(path).shape[1] == 600
    said = [text.get_text() for text in plotted[0].legends[0].get_texts()]
    assert said == ["a: product 6", "b: product 2"]
    assert [label.get_text() for label in plotted[0].axes[0].get_xticklabels()] == ["conv", "head"]
    assert [list(line.get_ydata()) for line in plotted[0].axes[0].lines] == [[2.0, 3.0], [2.0]]


def test_norms_are_logged(monkeypatch):
    logged = []
    monkeypatch.setattr(operator_norms, "log_table", lambda *args: logged.append(args[1:]))
    monkeypatch.setattr(operator_norms, "log_figures", lambda *args: logged.append(args[1:]))
    log_lipschitz([], NORMS, "norms.png")
    rows = [
        ("conv", "conv 3x3", "8x8", 2.0),
        ("head", "linear", "", 3.0),
        ("product", "", "", 6.0),
    ]
    assert logged == [
        ("lipschitz/norms", ["layer", "kind", "feature map", "norm"], rows),
        ({"lipschitz/layers": "norms.png"},),
    ]
