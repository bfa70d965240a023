"""Grids of adversarial images, and the search for the smallest eps."""

import math
from functools import partial

import pytest
import torch
from matplotlib.image import imread
from torch import nn

from robust.attacks import PGD, MinimalFGSM
from robust.defenses import Squeezed, Standard
from robust.errors import ConfigError
from robust.evaluation.suite import Source, Suite
from robust.figures import adversarials
from robust.figures.adversarials import (
    Adversarials,
    plot_adversarials,
    plot_grid,
)
from robust.figures.smallest_eps import smallest_eps
from robust.threat import ThreatModel
from robust.types import Batch
from tests.support.tiny import Plain

EPS = (0.05, 0.1, 0.2)
ATTACKS = {eps: partial(PGD, eps=eps, steps=2, random_start=False) for eps in EPS}


class Mean(nn.Module):
    """Class 1 for images whose mean is above 0.5, else class 0."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, x):
        score = self.scale * (x.mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([-score, score], dim=1)


def images(*means):
    return torch.tensor(means).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()


# At distances 0.03, 0.08 and 0.15 of the boundary.
X, Y = images(0.47, 0.42, 0.65), torch.tensor([0, 0, 1])


@pytest.mark.parametrize(
    ("share", "chosen", "eps"),
    [(1.0, 3, 0.2), (0.6, 3, 0.1), (0.3, 3, 0.05), (1.0, 2, 0.1), (1.0, 1, 0.05)],
)
def test_smallest_eps_is_the_first_that_reaches_the_share(share, chosen, eps):
    network = Mean()
    found = smallest_eps(network, network, ATTACKS, X[:chosen], Y[:chosen], share=share)
    assert found.eps == eps
    assert (found.x_adv - X[:chosen]).abs().max() == pytest.approx(eps, abs=1e-6)


def test_where_none_is_enough_the_images_are_those_of_the_largest():
    network = Mean()
    found = smallest_eps(network, network, ATTACKS, images(0.1), torch.tensor([0]))
    assert found.eps is None
    torch.testing.assert_close(found.x_adv, images(0.3))


def test_targeted_success_is_the_target():
    network = Mean()
    goal = torch.tensor([1, 1])
    assert smallest_eps(network, network, ATTACKS, X[:2], Y[:2], target=goal).eps == 0.1
    own = smallest_eps(network, network, ATTACKS, X[:2], Y[:2], target=Y[:2])
    assert own.eps == 0.05


def test_the_defense_judges_not_the_view():
    class Deaf(nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    assert smallest_eps(Deaf(), Mean(), ATTACKS, X[:1], Y[:1]).eps is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attacks": {}}, "but got 0, 3 and 1.0"),
        ({"x": X[:0], "y": Y[:0]}, "but got 3, 0 and 1.0"),
        ({"share": 0.0}, "but got 3, 3 and 0.0"),
        ({"share": 1.5}, "but got 3, 3 and 1.5"),
    ],
)
def test_search_refuses(arguments, message):
    network = Mean()
    usual = {"defense": network, "view": network, "attacks": ATTACKS, "x": X, "y": Y}
    with pytest.raises(ConfigError, match=message):
        smallest_eps(**usual | arguments)


def suite(**rest):
    models = {f"pgd_{eps}": ThreatModel("Linf", eps) for eps in EPS}
    attacks = {f"pgd_{eps}": attack for eps, attack in ATTACKS.items()}
    return Suite("test", attacks, threat_models=models, **rest)


@pytest.fixture
def plotted(monkeypatch):
    """The figures that are plotted, beside their files."""
    figures = []
    save = adversarials.save_figure
    monkeypatch.setattr(
        adversarials,
        "save_figure",
        lambda figure, path: figures.append(figure) or save(figure, path),
    )
    return figures


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def names(figure):
    return [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]


def batch(x=X, y=Y):
    return Batch(x, y, torch.arange(len(y)))


def test_one_attack_on_images_that_all_runs_classify_correctly(plotted, tmp_path):
    given = batch(images(0.9, 0.45, 0.1, 0.65), torch.tensor([0, 0, 0, 1]))
    defenses = {"a/1": Plain(Mean()), "b/2": Squeezed(Mean(), temperature=2.0)}
    path = plot_grid(suite(), defenses, given, "pgd_0.1", tmp_path / "new" / "grid.png", count=2)
    assert imread(path)[..., :3].std() > 0.05
    # The first image is misclassified, the fourth one too many.
    assert titles(plotted[0]) == [
        *("image 1\nclass 0", "image 2\nclass 0"),
        *["says 1", "says 0"] * 3,
    ]
    assert names(plotted[0]) == [
        "clean",
        *["a/\n1\ndeployed = adaptive", "change"],
        *["b/\n2\ndeployed", "change"],
        *["b/\n2\nadaptive", "change"],
        *["pixel units"] * 3,
    ]
    assert plotted[0].get_suptitle() == "pgd_0.1, Linf 0.1"


def test_a_family_shows_its_smallest_eps(plotted, tmp_path):
    given = {"near": Plain(Mean())}
    plot_grid(suite(), given, batch(), "pgd", tmp_path / "grid.png")
    plot_grid(suite(), given, batch(images(0.1), Y[:1]), "pgd", tmp_path / "grid.png")
    assert names(plotted[0])[1] == "near\ndeployed = adaptive\neps = 0.2"
    assert names(plotted[1])[1] == "near\ndeployed = adaptive\nnone up to 0.2"
    assert plotted[0].get_suptitle() == "pgd, smallest Linf eps for all"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (1, ["class 0, target 1", "class 0, target 1"]),
        ("random", ["class 0, target 1", "class 0, target 1", "class 1, target 0"]),
    ],
)
def test_targets_are_named_and_images_of_that_class_left_out(target, shown, plotted, tmp_path):
    evaluation = suite(targets={"pgd_0.1": target})
    plot_grid(evaluation, {"a": Standard(Mean())}, batch(), "pgd_0.1", tmp_path / "grid.png")
    named = [title.split("\n")[1] for title in titles(plotted[0]) if "class" in title]
    assert named == shown


def test_a_transfer_attack_is_crafted_on_its_source(plotted, tmp_path):
    crafted = suite(source=Source(Standard(Mean())))
    plot_grid(crafted, {"a": Standard(Mean())}, batch(), "pgd_0.2", tmp_path / "grid.png")
    assert names(plotted[0])[1] == "a\ntransfer"
    assert titles(plotted[0])[3:] == ["says 1", "says 1", "says 0"]


def test_grid_refuses(tmp_path):
    defenses = {"a": Standard(Mean())}
    with pytest.raises(ConfigError, match=r"attack of suite test, but got 'cw'\. .* pgd, pgd_0"):
        plot_grid(suite(), defenses, batch(), "cw", tmp_path / "grid.png")
    with pytest.raises(ConfigError, match=r"all runs classify correctly.* none among 3"):
        plot_grid(suite(), defenses, batch(y=1 - Y), "pgd", tmp_path / "grid.png")


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_changes_have_a_symmetric_scale_and_show_the_channel_that_changes_most(
    channels, plotted, tmp_path
):
    x = torch.full((1, channels, 4, 4), 0.5)
    x_adv = x.clone()
    x_adv[0, -1, 0, 0] = 0.2
    x_adv[0, 0, 1, 1] = 0.6
    row = Adversarials("a", x_adv, torch.tensor([2]))
    plot_adversarials(x, torch.tensor([0]), [row], tmp_path / "grid.png")
    (shown_image,) = plotted[0].axes[2].images
    assert shown_image.get_clim() == pytest.approx((-0.3, 0.3))
    shown = torch.as_tensor(shown_image.get_array().data)
    assert shown[0, 0].item() == pytest.approx(-0.3)
    assert shown[1, 1].item() == pytest.approx(0.1)
    assert shown.count_nonzero() == 2


def test_images_without_a_change_are_plotted(plotted, tmp_path):
    row = Adversarials("a", X, Y)
    plot_adversarials(X, Y, [row], tmp_path / "grid.png")
    assert plotted[0].axes[-2].images[0].get_clim() == (-1.0, 1.0)
    assert [axes.title.get_weight() for axes in plotted[0].axes[3:6]] == ["normal"] * 3


def test_an_attack_that_looks_for_the_nearest_image_shows_how_far_it_went(plotted, tmp_path):
    attack = partial(MinimalFGSM, step=0.05, largest=0.1)
    evaluation = Suite("test", {"nearest": attack}, ThreatModel("Linf", math.inf))
    path = tmp_path / "grid.png"
    plot_grid(evaluation, {"a": Plain(Mean())}, batch(), "nearest", path, changes=False)
    # The third image would need 0.15.
    assert titles(plotted[0])[3:] == ["says 1\nLinf 0.05", "says 1\nLinf 0.1", "says 1"]
    assert len(plotted[0].axes) == 2 * 3
