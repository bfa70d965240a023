import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.image import imread
from matplotlib.text import Text
from torch import nn

from robust.defenses import Squeezed
from robust.errors import ConfigError
from robust.figures import one_image, surfaces
from robust.figures.one_image import plot_figures, plot_loss_surfaces, plot_scores
from robust.figures.surfaces import Surface, loss_surface
from robust.types import Batch
from tests.support.tiny import Plain

EPS = 0.1
X = torch.full((1, 1, 4, 4), 0.5)
Y = torch.tensor([0])


def linear(classes=3, bias=0.0, channels=1):
    """A linear classifier that prefers class 0 by ``2 * bias``."""
    torch.manual_seed(0)
    layer = nn.Linear(16 * channels, classes)
    with torch.no_grad():
        layer.weight.sub_(layer.weight.mean(dim=1, keepdim=True))
        layer.bias.fill_(-bias)
        layer.bias[0] = bias
    return nn.Sequential(nn.Flatten(), layer)


def saturated(classes=3, channels=1):
    """Logits of about 60 and -60 around every image: tanh is exactly 1 and -1 there."""
    return Squeezed(linear(classes, 60.0, channels), activation="tanh", temperature=20.0)


def diverged():
    network = linear()
    nn.init.constant_(network[1].weight, float("nan"))
    return network


def test_linear_classifier_has_the_surface_of_the_closed_form():
    network = linear(classes=2, bias=0.5)
    difference = (network[1].weight[0] - network[1].weight[1]).detach()
    margin = 1.0 + difference.sum() * 0.5

    surface = loss_surface(network, X, Y, None, EPS, points=21)

    steps = torch.linspace(-EPS, EPS, 21)
    torch.testing.assert_close(surface.a, steps)
    torch.testing.assert_close(surface.b, steps)
    # Across the gradient the margin changes by some t per step, the same everywhere.
    t = (torch.log(torch.expm1(surface.loss[10, 20])) + margin) / EPS
    assert abs(t) < difference.abs().sum()
    a, b = steps[:, None], steps[None, :]
    expected = F.softplus(-margin + a * difference.abs().sum() + b * t)
    torch.testing.assert_close(surface.loss, expected, rtol=1e-4, atol=1e-5)
    assert (surface.loss.diff(dim=0) > 0).all()
    assert not surface.zero_gradient


@pytest.mark.parametrize("target", [None, 2])
def test_points_are_those_of_direct_evaluation_with_clipped_pixels(target):
    network = linear(bias=0.5)
    x = torch.rand(1, 1, 4, 4).round()
    goal = Y if target is None else torch.tensor([target])
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(leaf), goal), leaf)

    surface = loss_surface(network, x, Y, target, EPS, points=5)

    for i, a in enumerate(surface.a):
        moved = (x + a * gradient.sign()).clamp(0, 1)
        torch.testing.assert_close(surface.loss[i, 2], F.cross_entropy(network(moved), goal))


def test_chunks_of_the_plane_are_put_together_in_order(monkeypatch):
    at_once = loss_surface(linear(), X, Y, None, EPS, points=9)
    monkeypatch.setattr(surfaces, "_CHUNK", 7)
    torch.testing.assert_close(loss_surface(linear(), X, Y, None, EPS, points=9).loss, at_once.loss)


def test_seed_fixes_the_random_direction():
    def losses(seed):
        return loss_surface(linear(), X, Y, None, EPS, points=5, seed=seed).loss

    assert torch.equal(losses(3), losses(3))
    assert not torch.equal(losses(3), losses(4))
    torch.testing.assert_close(losses(3)[:, 2], losses(4)[:, 2])


@pytest.mark.parametrize("target", [None, 1])
def test_saturated_squeeze_is_flat_deployed_and_not_adaptive(target):
    defense = saturated()
    deployed = loss_surface(defense, X, Y, target, EPS)
    adaptive = loss_surface(defense.adaptive_view(), X, Y, target, EPS)

    assert deployed.zero_gradient
    assert (deployed.loss == deployed.loss[0, 0]).all()
    assert not adaptive.zero_gradient
    assert (adaptive.loss.diff(dim=0) > 0).all()


def test_zero_gradient_is_no_claim_that_the_loss_is_flat():
    class Step(nn.Module):
        def forward(self, x):
            bright = x.mean(dim=(1, 2, 3), keepdim=False).sub(0.5).sign()
            return torch.stack([bright, -bright], dim=1)

    surface = loss_surface(Step(), X, Y, None, EPS)
    assert surface.zero_gradient
    assert surface.loss.min() < surface.loss.max()


def test_everything_else_is_left_as_it_was():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(), *linear())
    network[1].eval()
    gradients = [torch.rand_like(p) for p in network.parameters()]
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        parameter.grad = gradient
    modes = [module.training for module in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    x = X.clone()
    randomness = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    with torch.inference_mode():
        loss_surface(network, x, Y, 1, EPS, points=3)

    assert torch.equal(torch.get_rng_state(), randomness[0])
    assert (np.random.get_state()[1] == randomness[1]).all()
    assert random.getstate() == randomness[2]
    assert [module.training for module in network.modules()] == modes
    assert all(
        p.grad is gradient for p, gradient in zip(network.parameters(), gradients, strict=True)
    )
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert torch.equal(x, X)
    assert x.grad is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": 0.0}, "`eps` to be positive, but got 0.0"),
        ({"eps": float("nan")}, "`eps` to be positive, but got nan"),
        ({"points": 1}, "`points` to be at least 2, but got 1"),
        ({"view": diverged()}, "finite loss around the image, but got NaN .* from Sequential"),
    ],
    ids=["eps", "nan", "points", "diverged"],
)
def test_surface_refuses(arguments, message):
    usual = {"view": linear(), "x": X, "y": Y, "target": None, "eps": EPS}
    with pytest.raises(ConfigError, match=message):
        loss_surface(**(usual | arguments))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(("classes", "channels"), [(2, 3), (100, 2)])  # of 1: below
def test_files_are_images_1200_pixels_wide(classes, channels, tmp_path):
    defense, x = saturated(classes, channels), torch.rand(1, channels, 4, 4)
    paths = [
        plot_loss_surfaces(defense, x, Y, 1, EPS, tmp_path / "new" / "surfaces.png"),
        plot_scores(defense, x, Y, tmp_path / "new" / "scores.png"),
    ]
    for path in paths:
        height, width, _ = imread(path).shape
        assert width == 1200
        assert 400 <= height <= 1200
        assert imread(path)[..., :3].std() > 0.05


@pytest.fixture
def plotted(monkeypatch):
    """The figures that are plotted, instead of files."""
    figures_plotted = []
    monkeypatch.setattr(
        one_image, "save_figure", lambda figure, path: figures_plotted.append(figure) or path
    )
    return figures_plotted


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def test_surfaces_say_what_they_show(plotted, tmp_path):
    plot_loss_surfaces(saturated(), X, Y, 1, EPS, tmp_path)
    said = texts(plotted[0])
    assert "Squeezed(tanh, T=20): loss around an image of class 0, eps = 0.1" in said
    flat = "everywhere, gradient exactly zero"
    assert f"deployed view, untargeted\nloss 0.2395 {flat}" in said
    assert f"deployed view, targeted to class 1\nloss 2.24 {flat}" in said
    assert any(text.startswith("adaptive view, untargeted\nloss 0.00") for text in said)
    assert said.count("sign of the gradient\n(pixel units)") == 2


@pytest.mark.parametrize(
    ("difference", "summary", "limits"),
    [
        (1e-6, "loss 1, varying by 1e-06", (0.95, 1.05)),
        (1e-4, "loss 1, varying by 0.0001", (1.0, 1.0001)),
        (1.0, "loss 1 to 2", (1.0, 2.0)),
    ],
)
def test_only_rounding_is_plotted_flat(difference, summary, limits, plotted, monkeypatch, tmp_path):
    steps = torch.tensor([-EPS, EPS])
    loss = 1 + difference * torch.eye(2)
    monkeypatch.setattr(one_image, "loss_surface", lambda *_: Surface(steps, steps, loss, False))
    plot_loss_surfaces(saturated(), X, Y, 1, EPS, tmp_path)
    assert f"deployed view, untargeted\n{summary}" in texts(plotted[0])
    margin = (limits[1] - limits[0]) / 20
    assert plotted[0].axes[0].get_zlim() == pytest.approx(limits, abs=margin)


def test_scores_are_softmaxes_with_the_largest_written(plotted, tmp_path):
    plot_scores(saturated(classes=10), X, Y, tmp_path)
    said = texts(plotted[0])
    # e^2 / (e^2 + 9), and logits of 60 and -60 divided by T.
    assert "0.451" in said
    assert {"0.977", "0.978", "0.979"} & set(said)
    assert {"deployed view", "adaptive view", "true class, 0"} < set(said)
    assert plotted[0].axes[1].get_ylim() == (0, 1)


def test_view_that_is_the_defense_itself_is_called_the_same(plotted, tmp_path):
    plot_scores(Plain(linear()), X, Y, tmp_path)
    said = texts(plotted[0])
    assert "Plain: scores of an image of class 0\n" in said
    assert "adaptive view (the same)" in said


@pytest.fixture
def defense():
    """Says class 0 to every image."""
    return saturated()


def batch(*labels):
    n = len(labels)
    return Batch(torch.rand(n, 1, 4, 4), torch.tensor(labels), torch.arange(n))


def test_figures_are_of_the_first_correct_image_of_another_class(defense, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        one_image, "plot_loss_surfaces", lambda *a, **names: seen.append(a) or a[-1]
    )
    monkeypatch.setattr(one_image, "plot_scores", lambda *a, **names: seen.append(a) or a[-1])
    given = batch(1, 2, 0, 0)

    paths = plot_figures(defense, given, tmp_path, target=1, eps=EPS)

    assert paths == {
        "figures/loss_surfaces": tmp_path / "loss_surfaces.png",
        "figures/scores": tmp_path / "scores.png",
    }
    for _, x, y, *_ in seen:
        assert torch.equal(x, given.x[2:3])
        assert y.tolist() == [0]
    assert seen[0][3:5] == (1, EPS)


def test_both_figures_are_written_to_a_new_folder(defense, tmp_path):
    defense.train()
    paths = plot_figures(defense, batch(0), tmp_path / "a" / "b", target=2, eps=EPS)
    assert [imread(path).shape[1] for path in paths.values()] == [1200, 1200]
    assert defense.training


@pytest.mark.parametrize(
    ("labels", "target", "message"),
    [
        ([1, 2], 1, "correctly classified image of another class than 1, but got none among 2"),
        ([0, 0], 0, "correctly classified image of another class than 0, but got none among 2"),
        ([0], 3, "`target` to be a class, 0 to 2, but got 3"),
        ([0], -1, "`target` to be a class, 0 to 2, but got -1"),
    ],
    ids=["wrong", "target_itself", "no_class", "negative"],
)
def test_figures_refuse(defense, labels, target, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        plot_figures(defense, batch(*labels), tmp_path, target=target, eps=EPS)
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written_is_named(defense, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"to write .*file.loss_surfaces\.png, but got: .*folder"):
        plot_figures(defense, batch(0), tmp_path / "file", target=1, eps=EPS)
