"""Curves against rates counted by hand."""

import math

import pytest
from matplotlib.image import imread

from robust.figures import accuracy_curves as figure_of_curves
from robust.figures.accuracy_curves import plot_accuracy_curves
from robust.results import curves
from robust.results.curves import accuracy_curves, families
from robust.results.metrics import Rate
from robust.results.records import Evaluation
from tests.support.factories import evaluation, header, info, row

PGD = {
    "pgd_0.2": info("PGD", eps=0.2, alpha=0.05, steps=5),
    "pgd_0.1": info("PGD", eps=0.1, alpha=0.025, steps=5),
}


def of_pgd(**successes):
    """Ten samples, of which so many are misclassified at each eps, keyed by view."""
    counts = {
        (view, name): k for view, ks in successes.items() for name, k in zip(PGD, ks, strict=True)
    }
    return evaluation(PGD, counts, n=10)


def minimal(eps=math.inf, distances=(0.1, 0.3, 0.4)):
    attacks = {"cw": info("CW", eps=eps, norm="L2", minimal=True)}
    rows = [row(i, attack="cw", adv=1, l2=d, linf=0.9) for i, d in enumerate(distances)]
    held = [row(8, attack="cw", l2=0.0), row(9, attack="cw", clean=1, adv=1, l2=9.0)]
    return Evaluation(header(**attacks), rows + held)


def test_attacks_that_differ_in_eps_and_alpha_only_are_a_family():
    attacks = {
        **PGD,
        "pgd_long_0.1": info("PGD", eps=0.1, steps=50),
        "pgd_long_0.2": info("PGD", eps=0.2, steps=50),
        "pgd_l2_0.1": info("PGD", eps=0.1, steps=5, norm="L2"),
        "pgd_target_0.1": info("PGD", eps=0.1, steps=5, target=3),
        "bim_0.1": info("BIM", eps=0.1, steps=5),
        "cw_1": info("CW", minimal=True),
        "cw_2": info("CW", minimal=True),
        "weak": info("FGSM", eps=0.1),
        "strong": info("FGSM", eps=0.2),
    }
    assert families(attacks) == {
        "pgd": ["pgd_0.1", "pgd_0.2"],
        "pgd_long": ["pgd_long_0.1", "pgd_long_0.2"],
        "pgd_l2_0.1": ["pgd_l2_0.1"],
        "pgd_target_0.1": ["pgd_target_0.1"],
        "bim_0.1": ["bim_0.1"],
        "cw_1": ["cw_1"],
        "cw_2": ["cw_2"],
        "weak": ["weak", "strong"],
    }


def test_a_family_never_takes_the_name_of_another():
    attacks = {
        "pgd": info("PGD", eps=0.3, steps=9),
        "pgd_1": info("PGD", eps=0.1),
        "pgd_2": info("PGD", eps=0.2),
        "fgsm_1": info("FGSM", eps=0.1),
        "fgsm_2": info("FGSM", eps=0.2),
        "fgsm_3": info("FGSM", eps=0.1, norm="L2"),
        "fgsm_4": info("FGSM", eps=0.2, norm="L2"),
    }
    assert list(families(attacks)) == ["pgd", "pgd_1", "fgsm", "fgsm_3"]


def test_a_curve_has_a_point_an_eps_and_begins_with_the_clean_accuracy():
    runs = {"a": of_pgd(deployed=(4, 2), adaptive=(9, 5)), "b": of_pgd(deployed=(1, 0))}
    (panel,) = accuracy_curves(runs)
    assert panel.family == "pgd"
    assert panel.info.eps == 0.1
    assert [tuple(curve) for curve in panel.curves] == [
        ("a", "deployed", [0.0, 0.1, 0.2], [Rate(10, 10), Rate(8, 10), Rate(6, 10)]),
        ("a", "adaptive", [0.0, 0.1, 0.2], [Rate(10, 10), Rate(5, 10), Rate(1, 10)]),
        ("b", "deployed", [0.0, 0.1, 0.2], [Rate(10, 10), Rate(10, 10), Rate(9, 10)]),
    ]


def test_of_one_eps_the_lowest_accuracy_counts():
    attacks = {**PGD, "pgd_small_steps": info("PGD", eps=0.1, alpha=0.001, steps=5)}
    counts = {("deployed", "pgd_0.1"): 5, ("deployed", "pgd_small_steps"): 1}
    counts["deployed", "pgd_0.2"] = 6
    (panel,) = accuracy_curves({"a": evaluation(attacks, counts, n=10)})
    assert panel.curves[0].eps == [0.0, 0.1, 0.2]
    assert [rate.hits for rate in panel.curves[0].rates] == [10, 5, 4]


def test_one_crafting_of_a_minimal_attack_gives_a_complete_curve(monkeypatch):
    monkeypatch.setattr(curves, "_RADII", 5)
    (panel,) = accuracy_curves({"a": minimal(), "b": minimal(distances=(0.2, 0.2, 0.2))})
    first, second = panel.curves
    assert first.eps == second.eps == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert first.rates == [Rate(4, 5), Rate(3, 5), Rate(3, 5), Rate(2, 5), Rate(1, 5)]
    assert [rate.hits for rate in second.rates] == [4, 4, 1, 1, 1]


def test_a_minimal_attack_with_a_finite_eps_is_plotted_up_to_it(monkeypatch):
    monkeypatch.setattr(curves, "_RADII", 3)
    (panel,) = accuracy_curves({"a": minimal(eps=0.2)})
    assert panel.curves[0].eps == [0.0, 0.1, 0.2]


def test_a_minimal_attack_that_found_nothing_is_flat():
    (panel,) = accuracy_curves({"a": minimal(distances=())})
    assert set(panel.curves[0].rates) == {Rate(1, 2)}


def test_single_eps_give_no_figure(tmp_path):
    alone = evaluation({"fgsm": info()}, {("deployed", "fgsm"): 1}, n=10)
    assert plot_accuracy_curves({"a": alone}, tmp_path / "curves.png") is None
    assert not list(tmp_path.iterdir())


@pytest.fixture
def plotted(monkeypatch):
    figures = []
    save = figure_of_curves.save_figure
    monkeypatch.setattr(
        figure_of_curves,
        "save_figure",
        lambda figure, path: figures.append(figure) or save(figure, path),
    )
    return figures


@pytest.mark.parametrize("runs", [1, 9])
def test_figure_says_what_it_shows(runs, plotted, tmp_path):
    given = {f"run{i}": of_pgd(deployed=(4, 2), adaptive=(9, 5)) for i in range(runs)}
    path = plot_accuracy_curves(given, tmp_path / "new" / "curves.png")
    assert imread(path)[..., :3].std() > 0.02
    (axes,) = plotted[0].axes
    assert axes.get_title() == "pgd"
    assert axes.get_xlabel() == "eps (Linf, pixel units)"
    assert axes.get_ylabel() == "robust accuracy, %"
    assert plotted[0].get_suptitle().startswith("Suite test, 10 test images of digits\n")
    legend = [text.get_text() for text in plotted[0].legends[0].get_texts()]
    assert legend == [*given, "deployed view", "adaptive view"]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == len(axes.lines) == 2 * runs
    assert list(axes.lines[0].get_ydata()) == [100, 80, 60]
    assert {line.get_linestyle() for line in axes.lines[::2]} == {"-"}
    assert {line.get_linestyle() for line in axes.lines[1::2]} == {"--"}


def test_an_eps_in_grey_levels_has_such_ticks(plotted, tmp_path):
    attacks = {f"pgd_{levels}": info("PGD", eps=levels / 255) for levels in (2, 4, 8)}
    given = evaluation(attacks, {("deployed", name): 1 for name in attacks}, n=10)
    plot_accuracy_curves({"a": given}, tmp_path / "curves.png")
    ticks = [text.get_text() for text in plotted[0].axes[0].get_xticklabels()]
    assert ticks == ["0", "2/255", "4/255", "6/255", "8/255"]


def test_bands_are_wilsons(plotted, tmp_path):
    plot_accuracy_curves({"a": of_pgd(deployed=(4, 2))}, tmp_path / "curves.png")
    corners = plotted[0].axes[0].collections[0].get_paths()[0].vertices
    low, high = Rate(6, 10).interval
    at_last = {round(y, 6) for x, y in corners if x == pytest.approx(0.2)}
    assert at_last == {round(100 * low, 6), round(100 * high, 6)}


@pytest.mark.parametrize(
    ("target", "title"),
    [(2, "pgd, targeted to class 2"), ("random", "pgd, targeted to random classes")],
)
def test_panels_name_the_target_and_every_family_has_one(target, title, plotted, tmp_path):
    attacks = {f"pgd_{e}": info("PGD", eps=e, target=target) for e in (0.1, 0.2)}
    attacks["cw"] = info("CW", eps=math.inf, norm="L0", minimal=True)
    given = evaluation(attacks, {("deployed", name): 1 for name in attacks}, n=10)
    plot_accuracy_curves({"a": given}, tmp_path / "curves.png")
    assert [axes.get_title() for axes in plotted[0].axes] == [title, "cw"]
    assert plotted[0].axes[1].get_xlabel() == "eps (L0, pixels)"
