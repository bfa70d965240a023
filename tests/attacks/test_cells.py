"""Behind a quantizing transform a found image goes to the nearest one that is quantized alike."""

import pytest
import torch
import torchattacks
from torch import nn

from robust.attacks import (
    APGD,
    DDN,
    FAB,
    PGD,
    AutoAttack,
    BoundaryAttack,
    CarliniWagner,
    HopSkipJump,
    Pointwise,
    Rescale,
    Strong,
    craft,
    sample_seeds,
)
from robust.attacks.cells import brought_nearer, cells_of, projected
from robust.attacks.views import BPDA, SoftSteps, straight_through
from robust.defenses import Pretrained, Recall, Standard
from robust.threat import ThreatModel, distance
from robust.transforms import Binarize, BitDepthReduction, FeatureSqueezing
from robust.transforms.quantized import Cells
from tests.support.every_attack import EVERY, NAMES
from tests.support.oracles import LinearOracle

HALF = 0.5
BELOW = torch.nextafter(torch.tensor(HALF), torch.tensor(0.0)).item()
NORMS = ("Linf", "L2", "L0")
shorts = pytest.mark.parametrize("name", NAMES)


class Any(nn.Module):
    """Class 1 as soon as one of the first three values is not what it is in the clean image.

    The clean image is (.1 .3 .55 .9): the third value has the shortest way to the threshold.
    """

    clean = torch.tensor([0.1, 0.3, 0.55, 0.9]).view(1, 1, 2, 2)

    def forward(self, x):
        b = x.flatten(1)
        changed = b[:, 0] + b[:, 1] + (1 - b[:, 2]) - 0.5
        return torch.stack([-changed, changed], dim=1)


def behind(network, transform=None):
    """The view of a network, and the network, behind a transform."""
    transform = Binarize(HALF) if transform is None else transform
    return straight_through(transform, network), nn.Sequential(transform, network)


def one():
    return Any.clean.clone(), torch.zeros(1, dtype=torch.int64)


MINIMAL = {
    "DDN": lambda view: DDN(view, steps=40),
    "CarliniWagner": CarliniWagner,
    "HopSkipJump L2": lambda view: HopSkipJump(view, iterations=3, initial_evaluations=20),
    "HopSkipJump Linf": lambda view: HopSkipJump(view, "Linf", iterations=3),
    "Boundary": lambda view: BoundaryAttack(view, iterations=100, directions=5),
    "Pointwise": lambda view: Pointwise(view, repetitions=10, levels=10),
    "torchattacks.CW": lambda view: torchattacks.CW(view, c=50, steps=100, lr=0.1),
    "torchattacks.DeepFool": lambda view: torchattacks.DeepFool(view, steps=20),
}
NEAREST = {"Linf": 0.55 - BELOW, "L2": 0.55 - BELOW, "L0": 1}
"""Distance of the nearest adversarial image of `Any`: its third value goes just below .5."""


@pytest.mark.parametrize("name", MINIMAL)
def test_minimal_attacks_find_the_nearest_image_that_is_known(name):
    view, judge = behind(Any())
    x, y = one()
    crafted = craft(MINIMAL[name], view, x, y, sample_seeds=sample_seeds(0, y), judge=judge)
    assert judge(crafted.x_adv).argmax() == 1
    ways = (crafted.x_adv - x).flatten()
    at_a_threshold = torch.tensor([HALF - 0.1, HALF - 0.3, BELOW - 0.55, 0])
    assert ((ways == 0) | torch.isclose(ways, at_a_threshold, rtol=0, atol=1e-7)).all()
    if name in ("DDN", "CarliniWagner"):
        for norm, nearest in NEAREST.items():
            assert distance(x, crafted.x_adv, norm).item() == pytest.approx(nearest, abs=1e-7)


@pytest.mark.parametrize(
    ("attack", "norm"),
    [
        *((attack, "L2") for attack in (PGD, APGD, AutoAttack, FAB, Strong)),
        *((attack, "L1") for attack in (PGD, APGD)),
    ],
)
@pytest.mark.parametrize("levels", [Binarize(HALF), FeatureSqueezing(1), BitDepthReduction(7)])
def test_a_budget_is_spent_on_what_crosses(attack, norm, levels):
    # A hundred values look as useful, and only one of them is near its threshold.
    class Sum(nn.Module):
        def forward(self, x):
            b = x.flatten(1).sum(dim=1) / x.amax().clamp_min(0.1)
            return torch.stack([0.5 - b, b - 0.5], dim=1)

    view, judge = behind(Sum(), levels)
    x, y = torch.zeros(1, 1, 10, 10), torch.zeros(1, dtype=torch.int64)
    x[0, 0, 4, 4] = 0.45
    kwargs = {AutoAttack: {"steps": 20, "queries": 1}, Strong: {}}.get(attack, {"steps": 20})
    arguments = {"seed": 0, "judge": judge, "sample_seeds": sample_seeds(0, y)}
    crafted = craft(lambda v: attack(v, 0.06, norm=norm, **kwargs), view, x, y, **arguments)
    assert judge(crafted.x_adv).argmax() == 1
    assert distance(x, crafted.x_adv, norm) <= 0.06
    assert distance(x, crafted.x_adv, "L0") == 1


THEIRS = {
    "PGDL2": lambda view: torchattacks.PGDL2(view, eps=0.6, alpha=0.3, steps=5),
    "APGD": lambda view: torchattacks.APGD(view, norm="L2", eps=0.6, steps=5),
    "FAB": lambda view: torchattacks.FAB(view, norm="L2", eps=0.6, steps=5, n_classes=3),
    "Square": lambda view: torchattacks.Square(view, norm="L2", eps=0.6, n_queries=50),
}


@pytest.mark.parametrize("name", THEIRS)
def test_those_of_torchattacks_with_a_budget_do_too(name):
    oracle, transform = LinearOracle(3), FeatureSqueezing(3)
    view, judge = behind(oracle, transform)
    x, _ = oracle.samples(6)
    y = judge(x).argmax(dim=1)
    x_adv = craft(THEIRS[name], view, x, y, sample_seeds=sample_seeds(0, y), judge=judge).x_adv
    success = judge(x_adv).argmax(dim=1) != y
    assert success.any()
    near = Cells.of(transform, x).nearest(x, x_adv)
    assert torch.equal(x_adv[success], near[success])


@shorts
def test_every_attack_returns_the_nearest_of_its_cells(name):
    short, oracle = EVERY[name], LinearOracle(3)
    transform = FeatureSqueezing(3)
    view, judge = behind(oracle, transform)
    x, _ = oracle.samples(6)
    y = judge(x).argmax(dim=1)
    x_adv = craft(
        lambda v: short.build(v, 0.2), view, x, y, sample_seeds=sample_seeds(0, y), judge=judge
    ).x_adv
    norm = short.norm if short.norm != "L0" else "L2"
    ThreatModel(norm, 0.2).check(x, x_adv, name, budget=short.budget)
    success = judge(x_adv).argmax(dim=1) != y
    near = Cells.of(transform, x).nearest(x, x_adv)
    assert torch.equal(x_adv[success], near[success])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("transform", [Binarize(), FeatureSqueezing(3), BitDepthReduction()])
@pytest.mark.parametrize("offset", [0.0, 1e-5, -1e-5, 0.02])
def test_no_success_is_lost_and_none_is_further(transform, offset, seed):
    """Also where the judge quantizes at other thresholds than are declared."""
    random = torch.Generator().manual_seed(seed)
    x, x_adv = torch.rand(2, 40, 1, 4, 4, generator=random)
    weights = torch.randn(16, generator=random)

    def succeeds(images, rows):
        scores = transform(images + offset).flatten(1) @ weights
        return scores > (transform(x[rows] + offset).flatten(1) @ weights)

    rows = torch.arange(len(x))
    result = brought_nearer(Cells.of(transform, x), x, x_adv, succeeds)
    before, after = succeeds(x_adv, rows), succeeds(result, rows)
    assert before.any()
    assert not before.all()
    assert torch.equal(before, before & after)
    assert ((result - x).abs() <= (x_adv - x).abs() + 1e-7).all()
    if abs(offset) < 0.01:
        for norm in ("Linf", "L2"):
            way, shorter = (distance(x, images, norm)[before] for images in (x_adv, result))
            assert (shorter < way - 0.01).double().mean() > 0.5
    assert torch.equal(result[~before & ~after], x_adv[~before & ~after])


def test_values_stop_behind_the_threshold_of_the_judge():
    x, x_adv = torch.full((1, 1, 1, 2), 0.2), torch.tensor([0.2, 0.9]).view(1, 1, 1, 2)
    cells = Cells.of(Binarize(HALF), x)
    for judged, expected in ((0.5, 0.5), (0.500005, 0.50001), (0.52, 0.9)):
        near = brought_nearer(
            cells, x, x_adv, lambda images, _, at=judged: (images[..., 1] >= at).flatten()
        )
        assert near.flatten().tolist() == pytest.approx([0.2, expected], abs=1e-7)


@pytest.mark.parametrize("value", [float("nan"), -0.5, 1.5])
def test_an_image_that_no_attack_may_return_is_not_made_one(value):
    x, x_adv = torch.full((2, 1, 1, 2), 0.2), torch.full((2, 1, 1, 2), 0.9)
    x_adv[0, 0, 0, 0] = value
    cells = Cells.of(Binarize(), x)
    result = brought_nearer(cells, x, x_adv, lambda images, rows: torch.ones(len(rows)) > 0)
    assert torch.equal(result[0], x_adv[0]) or result[0].isnan().any()
    assert (result[1] < 0.51).all()


def test_projection_keeps_what_costs_nothing():
    model = ThreatModel("L2", 0.25)
    x = torch.tensor([0.3, 0.3, 0.0, 0.9]).view(1, 1, 1, 4)
    cells = Cells.of(Binarize(HALF), x)
    # Only the first value crosses, by .2; the others move for nothing.
    x_adv = torch.tensor([0.9, 0.49, 0.4, 0.6]).view(1, 1, 1, 4)
    assert torch.equal(projected(model, cells, x, x_adv), x_adv)
    # Two that cross cost .283, so that all go back until the later one does not.
    x_adv = torch.tensor([0.9, 0.7, 0.4, 0.6]).view(1, 1, 1, 4)
    result = projected(model, cells, x, x_adv).flatten()
    assert result[0] == pytest.approx(0.6, abs=1e-3)
    assert result[1] == pytest.approx(0.5, abs=1e-3)
    assert result[1] < 0.5


@pytest.mark.parametrize("norm", ["L2", "L1"])
@pytest.mark.parametrize("transform", [Binarize(), FeatureSqueezing(3)])
def test_projection_is_within_eps_after_the_step_to_the_nearest(transform, norm):
    random = torch.Generator().manual_seed(0)
    x, x_adv = torch.rand(2, 30, 1, 4, 4, generator=random)
    cells, model = Cells.of(transform, x), ThreatModel(norm, 0.5)
    result = projected(model, cells, x, 3 * x_adv - 1)
    assert result.amin() >= 0
    assert result.amax() <= 1
    assert (distance(x, cells.nearest(x, result), norm) <= model.limit).all()
    assert (distance(x, result, norm) > 0.6).any()
    again = projected(model, cells, x, result)
    assert torch.equal(again, result)


def test_projection_is_the_usual_one_in_linf_and_without_cells():
    random = torch.Generator().manual_seed(0)
    x, x_adv = torch.rand(2, 5, 1, 4, 4, generator=random)
    cells = Cells.of(Binarize(), x)
    for given, norm in ((cells, "Linf"), (None, "L2"), (None, "Linf")):
        model = ThreatModel(norm, 0.3)
        assert torch.equal(projected(model, given, x, x_adv), model.project(x, x_adv))


def test_soft_steps_have_the_mean_slope_of_sigmoids():
    x = torch.linspace(0, 1, 101).view(1, 1, 1, -1).requires_grad_()
    (slope,) = torch.autograd.grad(SoftSteps([0.4])(x).sum(), x)
    soft = sum(torch.sigmoid(k * (x - 0.4)) for k in (5, 10, 20, 40))
    (expected,) = torch.autograd.grad(soft.sum(), x)
    torch.testing.assert_close(slope, expected / (75 / 4), atol=1e-6, rtol=1e-4)


def test_bpda_of_a_quantizing_transform_has_soft_steps_unless_it_is_given_something_else():
    x = torch.tensor([0.0, 0.5, 0.9]).view(1, 1, 1, 3).requires_grad_()
    for given, expected in (((), SoftSteps([HALF]).slope(x)), ((nn.Identity(),), torch.ones(3))):
        out = BPDA(Binarize(HALF), *given)(x)
        assert out.flatten().tolist() == [0, 1, 1]
        (gradient,) = torch.autograd.grad(out.sum(), x)
        torch.testing.assert_close(gradient.flatten(), expected.flatten())


@pytest.mark.parametrize("bits", [2, 3])
def test_soft_steps_of_several_thresholds_are_steepest_at_them_and_nowhere_flat(bits):
    thresholds = FeatureSqueezing(bits).level_thresholds
    n = len(thresholds)
    ends_and_middles = torch.linspace(0, 1, 2 * n + 1).view(1, 1, 1, -1)
    slope = SoftSteps(thresholds).slope(ends_and_middles).flatten()
    assert slope[1::2].tolist() == pytest.approx([1] * n, abs=1e-3)
    assert (slope[::2] < 1 - 0.9 / n).all()
    assert (slope[::2] >= 1 - 1 / n).all()


def defenses():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    recall = Recall(lambda n: nn.Sequential(nn.Flatten(), nn.Linear(16, n)), (1, 4, 4), "first", 3)
    recall.representatives.copy_(torch.rand(3, 16))
    recall.transform = Binarize()
    return [Standard(network, transform=BitDepthReduction()), recall]


@pytest.mark.parametrize("index", [0, 1])
def test_views_that_see_the_transform_know_its_cells(index):
    defense, x = defenses()[index].eval(), torch.rand(3, 1, 4, 4)
    expected = Cells.of(defense.transform, x)
    for name in ("adaptive", "deployed"):
        assert all(map(torch.equal, cells_of(defense.view(name), x), expected))
    assert cells_of(defense.view("published"), x) is None


def test_a_transform_that_gets_something_else_does_not_count():
    x = torch.rand(2, 1, 4, 4)
    assert cells_of(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), x) is None
    assert cells_of(nn.Sequential(nn.AvgPool2d(2), Binarize(), nn.Flatten()), x) is None
    assert cells_of(Rescale(nn.Sequential(BPDA(Binarize()), nn.Flatten())), x) is not None


class Foreign(nn.Module):
    """It binarizes by itself, above a threshold that nobody declares."""

    def forward(self, x):
        return Any()((x > HALF).to(x.dtype))


class Above(nn.Module):
    level_thresholds = (HALF,)

    def forward(self, x):
        return (x > HALF).to(x.dtype)


@pytest.mark.parametrize("transform", [Above(), Binarize(HALF)])
def test_the_view_of_a_foreign_network_may_say_so(transform):
    """Also where the threshold itself belongs to the other level than the view says."""
    defense = Pretrained(Foreign(), adaptive=lambda _: straight_through(transform, Any())).eval()
    x, y = one()
    x[0, 0] = torch.tensor([[0.1, 0.48], [0.9, 0.9]])  # the shortest way goes up
    crafted = craft(MINIMAL["DDN"], defense.view("adaptive"), x, y, judge=defense)
    assert defense(crafted.x_adv).argmax() == 1
    assert distance(x, crafted.x_adv, "L0") == 1
    assert distance(x, crafted.x_adv, "L2") < 0.0201


def test_images_for_another_network_stay_as_the_attack_made_them():
    view, _ = behind(Any())
    x, y = one()
    attack = lambda v: PGD(v, 0.3, steps=3, random_start=False)  # noqa: E731
    made = craft(attack, view, x, y, transferred=True).x_adv
    assert not torch.equal(made, Cells.of(Binarize(HALF), x).nearest(x, made))


def test_a_minimal_attack_runs_with_the_straight_gradient_too_and_a_budget_attack_does_not():
    x, y = one()
    view, judge = behind(Any())
    seen = []
    soft = view[0].substitute
    soft.register_forward_pre_hook(lambda module, _: seen.append(module.straight))
    craft(MINIMAL["DDN"], view, x, y, judge=judge)
    assert seen == [False] * 40 + [True] * 40
    seen.clear()
    craft(lambda v: PGD(v, 0.01, steps=3), view, x, y)
    assert seen == [False] * 3
    seen.clear()
    craft(MINIMAL["Pointwise"], view, x, y, judge=judge)
    assert not seen
    assert not soft.straight


def test_the_gradient_is_soft_again_after_an_error():
    view, _ = behind(Any())

    class Failing(DDN):
        def forward(self, images, labels):
            if view[0].substitute.straight:
                raise RuntimeError("second run")
            return super().forward(images, labels)

    with pytest.raises(RuntimeError, match="second run"):
        craft(Failing, view, *one())
    assert not view[0].substitute.straight
