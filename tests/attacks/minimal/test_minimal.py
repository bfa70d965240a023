"""Attacks that look for the nearest adversarial image: DeepFool, Carlini-Wagner and DDN."""

import pytest
import torch
from torch import nn

from robust.attacks import craft
from robust.attacks.judging import confirmed
from robust.attacks.minimal.carlini_wagner import CarliniWagner, HasCodebook
from robust.attacks.minimal.ddn import DDN
from robust.attacks.minimal.deepfool import DeepFool
from robust.errors import ConfigError
from robust.threat import ThreatModel, distance
from tests.support.oracles import SHAPE, LinearOracle

UNTARGETED = {
    "DeepFool L2": ("L2", lambda m: DeepFool(m)),
    "DeepFool Linf": ("Linf", lambda m: DeepFool(m, norm="Linf")),
    "CarliniWagner": ("L2", lambda m: CarliniWagner(m)),
    "CarliniWagner c": ("L2", lambda m: CarliniWagner(m, c=0.01, steps=20)),
    "DDN": ("L2", lambda m: DDN(m)),
}
TARGETED = {name: case for name, case in UNTARGETED.items() if "DeepFool" not in name}
untargeted = pytest.mark.parametrize(("norm", "attack"), UNTARGETED.values(), ids=list(UNTARGETED))


class Scored(nn.Module):
    """A function of the oracle's scores."""

    def __init__(self, function, classes=2):
        super().__init__()
        self.oracle, self.function = LinearOracle(classes), function

    def forward(self, x):
        return self.function(self.oracle(x))


class Coded(nn.Module):
    """Nearest of four codewords on a line, the outputs at the oracle's score; class 1 or 2."""

    def __init__(self):
        super().__init__()
        self.oracle = LinearOracle()
        self.codebook = torch.tensor([[-9.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [9.0, 0.0]])

    def outputs(self, x):
        score = self.oracle(x)[:, 1]
        return torch.stack([score, torch.ones_like(score)], dim=1)

    def forward(self, x):
        return -(self.outputs(x).unsqueeze(1) - self.codebook).square().sum(dim=2)


def run(attack, view, x, y, target=None):
    """Adversarial images in the box, and which of them are adversarial."""
    x_adv = craft(attack, view, x, y, target=target, seed=1).x_adv
    ThreatModel("L2", 0.0).check(x, x_adv, "attack", budget=False)
    assert x_adv.dtype == x.dtype
    predicted = view(x_adv).argmax(dim=1)
    misclassified = predicted != y if target is None else predicted == target
    unchanged = (x_adv == x).flatten(1).all(dim=1)
    clean = view(x).argmax(dim=1)
    was_misclassified = clean != y if target is None else clean == target
    assert unchanged[was_misclassified].all()
    assert (misclassified | unchanged).all(), "a failure must come back as it was"
    return x_adv, misclassified


@pytest.mark.parametrize("n", [1, 64])
class TestOracle:
    @pytest.mark.sampled(every=3)
    @untargeted
    def test_reaches_the_optimum(self, norm, attack, n):
        oracle = LinearOracle()
        x, y = oracle.samples(n)
        self.check(attack, norm, x, y)

    @pytest.mark.parametrize(("norm", "attack"), TARGETED.values(), ids=list(TARGETED))
    def test_reaches_the_optimum_targeted(self, norm, attack, n):
        oracle = LinearOracle()
        x, y = oracle.samples(n)
        self.check(attack, norm, x, y, target=1 - y)

    @staticmethod
    def check(attack, norm, x, y, target=None):
        oracle = LinearOracle()
        x_adv, misclassified = run(attack, oracle, x, y, target)
        assert misclassified.all()
        ratio = distance(x, x_adv, norm) / oracle.budget(norm)
        assert ratio.min() >= 0.9999
        assert ratio.max() <= 1.05


VIEWS = {
    "log-softmax, far below zero": lambda: Scored(lambda z: z.log_softmax(dim=1) - 100),
    "scores x 1000": lambda: Scored(lambda z: 1000 * z),
    "scores / 1e6": lambda: Scored(lambda z: 1e-6 * z),
    "minus squared": lambda: Scored(lambda z: -(z - z.flip(1) - 1).square()),
    "12 classes": lambda: LinearOracle(classes=12),
}


@pytest.mark.sampled(every=6)
@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
@untargeted
def test_scores_may_be_any_numbers(norm, attack, view):
    x, y = LinearOracle().samples(8)
    x_adv, misclassified = run(attack, view(), x, y)
    assert misclassified.all()
    ratio = distance(x, x_adv, norm) / LinearOracle().budget(norm)
    assert ratio.max() <= 1.05


@untargeted
def test_pixels_at_zero_and_one_move(norm, attack):
    oracle = LinearOracle()
    w = oracle.w.detach().view(SHAPE)
    # The corner that favours class 1 except in six pixels: all must come from exact 0 and 1.
    x = ((w.sign() + 1) / 2).expand(3, *SHAPE).clone()
    for row, image in enumerate(x):
        changed = torch.arange(6) + row
        places = w.flatten().nonzero().squeeze(1)[changed]
        image.view(-1)[places] = 1 - image.view(-1)[places]
    y = torch.ones(3, dtype=torch.int64)
    x_adv, misclassified = run(attack, oracle, x, y)
    assert misclassified.all()
    assert ((x_adv - x).abs() > 0.01).flatten(1).any(dim=1).all()


@untargeted
def test_is_counted_as_minimal_and_leaves_the_model_alone(norm, attack):
    oracle = LinearOracle()
    built = attack(oracle)
    assert not hasattr(built, "eps")
    assert built.norm == norm
    x, y = oracle.samples(4)
    before = x.clone()
    built(x, y)
    assert oracle.w.grad is None
    assert torch.equal(x, before)


def test_finished_images_leave_the_batch():
    x, y = LinearOracle().samples(8)
    assert craft(lambda m: DeepFool(m), LinearOracle(), x, 1 - y).forwards == 2
    assert craft(lambda m: DeepFool(m), LinearOracle(), x, y).forwards <= 4
    full = CarliniWagner(LinearOracle(), abort_early=False)
    assert craft(lambda m: full, full.model, x, y).forwards >= 90


def test_confidence_is_reached():
    x, y = LinearOracle().samples(8)
    x_adv, misclassified = run(lambda m: CarliniWagner(m, confidence=0.4), LinearOracle(), x, y)
    scores = LinearOracle()(x_adv)
    assert misclassified.all()
    assert ((scores[:, 1] - scores[:, 0]).abs() >= 0.4).all()


@pytest.mark.parametrize("targeted", [False, True])
def test_codewords(targeted):
    x, y = LinearOracle().samples(8)
    view, y = Coded(), y + 1
    assert isinstance(view, HasCodebook)
    assert torch.equal(view(x).argmax(dim=1), y)
    target = 3 - y if targeted else None
    x_adv, misclassified = run(lambda m: CarliniWagner(m, objective="codeword"), view, x, y, target)
    assert misclassified.all()
    ratio = distance(x, x_adv, "L2") / LinearOracle().budget("L2")
    assert ratio.max() <= 1.05


def test_passes_of_the_codeword_objective_are_counted():
    class Counting(Coded):
        asked = 0

        def outputs(self, x):
            self.asked += len(x)
            return super().outputs(x)

    view = Counting()
    x, y = view.oracle.samples(8)
    crafted = craft(lambda m: CarliniWagner(m, objective="codeword"), view, x, y + 1)
    assert crafted.forwards == view.asked / 8 > 10
    assert "forward" not in vars(view)


@pytest.mark.parametrize("targeted", [False, True])
def test_without_a_codebook_the_codewords_are_one_hot(targeted):
    oracle = LinearOracle()
    x, y = oracle.samples(8)
    target = 1 - y if targeted else None
    attack = CarliniWagner(oracle, objective="codeword")
    scores = oracle(x)
    wanted = -(scores.unsqueeze(1) - torch.eye(2)).square().sum(dim=2).sqrt()
    torch.testing.assert_close(attack._scores(x), wanted)
    x_adv, misclassified = run(
        lambda m: CarliniWagner(m, objective="codeword"), oracle, x, y, target=target
    )
    assert misclassified.all()
    assert (distance(x, x_adv, "L2") <= 1.05 * oracle.budget("L2")).all()


def test_deepfool_has_no_targets():
    x, y = LinearOracle().samples(2)
    with pytest.raises(ValueError, match="Targeted mode is not supported"):
        craft(lambda m: DeepFool(m), LinearOracle(), x, y, target=1 - y)


def test_an_image_short_of_the_boundary_is_moved_on_and_a_failure_taken_back():
    oracle = LinearOracle()
    x, y = oracle.samples(4)
    step = (1 - 2 * y).view(-1, 1, 1, 1) * oracle.w.detach().view(SHAPE) * oracle.budget("Linf")
    short, far_short = x + 0.9999 * step, x + 0.5 * step
    assert (oracle(confirmed(oracle, x, short, y)).argmax(dim=1) != y).all()
    assert torch.equal(confirmed(oracle, x, far_short, y), x)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda m: DeepFool(m, steps=0), "Expected `steps` to be at least 1, but got 0"),
        (lambda m: DeepFool(m, candidates=1), "Expected `candidates` to be at least 2, but got 1"),
        (lambda m: DeepFool(m, overshoot=-0.1), "Expected `overshoot` to be non-negative"),
        (lambda m: DDN(m, steps=1), "Expected `steps` to be at least 2, but got 1"),
        (lambda m: DDN(m, gamma=1.0), "Expected `gamma` to be between 0 and 1, but got 1"),
        (lambda m: DDN(m, init_norm=0.0), "Expected `init_norm` to be positive, but got 0"),
        (lambda m: CarliniWagner(m, steps=0), "Expected `steps` to be at least 1, but got 0"),
        (lambda m: CarliniWagner(m, search_steps=0), "Expected `search_steps` to be at least 1"),
        (lambda m: CarliniWagner(m, confidence=-1.0), "Expected `confidence` to be non-negative"),
        (lambda m: CarliniWagner(m, c=0.0), "Expected `c` to be positive, but got 0.0. Leave it"),
        (lambda m: CarliniWagner(m, lr=float("nan")), "Expected `lr` to be positive, but got nan"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ConfigError, match=message):
        build(LinearOracle())
