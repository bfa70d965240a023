"""The gradient engine's presets where the oracle does not tell them apart."""

import pytest
import torch
import torchattacks
from torch import nn

from robust.attacks import (
    APGD,
    BIM,
    FGSM,
    IFGSM,
    MIFGSM,
    PGD,
    TGSM,
    MinimalFGSM,
    RandomFGSM,
    craft,
)
from robust.errors import ConfigError
from tests.support.oracles import LinearOracle

EPS = 0.08


@pytest.fixture(scope="module")
def curved():
    """A small network with curved losses, and images with the classes that it predicts."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Linear(16, 4)).eval()
    x = torch.rand(40, 3, 4, 4)
    return network, x, network(x).argmax(dim=1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda m: FGSM(m, EPS), lambda m: torchattacks.FGSM(m, eps=EPS)),
        (
            lambda m: BIM(m, EPS, steps=7, early_stop=False),
            lambda m: torchattacks.BIM(m, eps=EPS, alpha=EPS / 10, steps=7),
        ),
        (
            lambda m: MIFGSM(m, EPS, steps=5, early_stop=False),
            lambda m: torchattacks.MIFGSM(m, eps=EPS, alpha=EPS / 5, steps=5, decay=1.0),
        ),
        (
            lambda m: PGD(m, EPS, alpha=0.01, steps=6, random_start=False, early_stop=False),
            lambda m: torchattacks.PGD(m, eps=EPS, alpha=0.01, steps=6, random_start=False),
        ),
        (
            lambda m: PGD(m, 0.5, 0.1, 6, "L2", random_start=False, early_stop=False),
            lambda m: torchattacks.PGDL2(m, eps=0.5, alpha=0.1, steps=6, random_start=False),
        ),
    ],
    ids=["FGSM", "BIM", "MIFGSM", "PGD", "PGDL2"],
)
@pytest.mark.parametrize("targeted", [False, True])
def test_equal_to_torchattacks(curved, ours, theirs, targeted):
    network, x, y = curved
    target = (y + 1) % 4 if targeted else None
    results = [craft(attack, network, x, y, target=target).x_adv for attack in (ours, theirs)]
    torch.testing.assert_close(*results, atol=2e-6, rtol=1e-5)


def test_an_early_stop_succeeds_as_often_and_costs_less(curved):
    network, x, y = curved
    early, complete = (
        craft(lambda m, e=e: BIM(m, EPS, steps=20, early_stop=e), network, x, y)
        for e in (True, False)
    )
    misclassified = [network(c.x_adv).argmax(dim=1) != y for c in (early, complete)]
    assert (misclassified[0] | ~misclassified[1]).all()
    assert misclassified[1].any()
    assert early.forwards < complete.forwards
    distances = [(c.x_adv - x).abs().amax(dim=(1, 2, 3)) for c in (early, complete)]
    assert (distances[0] <= distances[1] + 1e-6).all()


def test_success_is_decided_in_full_precision():
    """bfloat16 cannot tell the scores apart, and alone would count every image as misclassified."""

    class Close(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(25, 2)
            with torch.no_grad():
                self.linear.weight.zero_()
                self.linear.weight[1] = 1e-3
                self.linear.bias.copy_(torch.tensor([100.0, 100.1]))

        def forward(self, x):
            return self.linear(x.flatten(1))

    network, x, y = Close(), torch.full((6, 1, 5, 5), 0.5), torch.ones(6, dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16):
        assert (network(x).argmax(dim=1) != y).all()
    crafted = craft(lambda m: BIM(m, 0.01, steps=3, precision="bfloat16"), network, x, y)
    # All steps were taken, and each but the first asked again in float32.
    assert crafted.forwards == 5
    torch.testing.assert_close((crafted.x_adv - x).abs().amax(), torch.tensor(0.003))


def test_bfloat16_succeeds_as_often(curved):
    network, x, y = curved
    rates = [
        (
            network(craft(lambda m, p=p: PGD(m, EPS, precision=p), network, x, y).x_adv).argmax(1)
            != y
        )
        .float()
        .mean()
        for p in ("float32", "bfloat16")
    ]
    assert abs(rates[0] - rates[1]) <= 0.05


def test_random_fgsm_is_noise_when_nothing_is_left(curved):
    network, x, y = curved
    inner = x * 0.8 + 0.1
    crafted = craft(lambda m: RandomFGSM(m, 0.03, alpha=0.05), network, inner, y)
    change = (crafted.x_adv - inner).abs()
    torch.testing.assert_close(change, torch.full_like(change, 0.03), atol=1e-6, rtol=0)
    aligned = craft(lambda m: FGSM(m, 0.03), network, inner, y).x_adv
    assert 0.3 < torch.isclose(aligned, crafted.x_adv).float().mean() < 0.7


def test_unprojected_steps_need_a_threat_model_of_their_reach():
    oracle = LinearOracle()
    x, y = oracle.samples(4)
    attack = IFGSM(oracle, 0.01, steps=5, project=False)
    assert attack.eps == pytest.approx(0.05)
    reached = (craft(lambda m: attack, oracle, x, y).x_adv - x).abs().max()
    torch.testing.assert_close(reached, torch.tensor(0.05))
    projected = craft(lambda m: IFGSM(m, 0.01, steps=5), oracle, x, y).x_adv
    torch.testing.assert_close((projected - x).abs().max(), torch.tensor(0.01))


@pytest.mark.parametrize(
    ("loss", "scale", "misclassified"),
    [
        ("log_odds", 50, [True, True]),
        ("log_odds", 50_000, [True, True]),
        # Of the label's term, the only one that class 1 has, float32 leaves nothing.
        ("cross_entropy", 50, [True, False]),
    ],
)
def test_one_step_against_a_network_that_is_sure_needs_the_log_odds(loss, scale, misclassified):
    oracle = LinearOracle(scale=scale)
    x, y = oracle.samples(8)
    x_adv = craft(lambda m: FGSM(m, 1.1 * oracle.budget("Linf"), loss=loss), oracle, x, y).x_adv
    assert (oracle(x_adv).argmax(dim=1) != y).tolist() == 4 * misclassified


@pytest.mark.parametrize("n", [1, 64])
@pytest.mark.parametrize("targeted", [False, True])
def test_minimal_fgsm_stops_at_the_first_length(targeted, n):
    oracle = LinearOracle()
    x, y = oracle.samples(n)
    target = 1 - y if targeted else None
    # The exact budget is 0.05: 0.02 and 0.04 fall short of it.
    crafted = craft(lambda m: MinimalFGSM(m, 0.02), oracle, x, y, target=target)
    distance = (crafted.x_adv - x).abs().amax(dim=(1, 2, 3))
    torch.testing.assert_close(distance, torch.full((n,), 0.06))
    short = craft(lambda m: MinimalFGSM(m, 0.02, largest=0.04), oracle, x, y, target=target)
    assert torch.equal(short.x_adv, x)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda m: FGSM(m, -0.1), "`eps` to be non-negative"),
        (lambda m: MIFGSM(m, decay=-1.0), "`decay` to be non-negative"),
        (lambda m: RandomFGSM(m, alpha=-0.1), "`alpha` to be non-negative"),
        (lambda m: MinimalFGSM(m, step=0.0), "0 < `step` <= `largest`"),
        (lambda m: MinimalFGSM(m, step=0.5, largest=0.1), "0 < `step` <= `largest`"),
    ],
)
def test_arguments_are_checked(build, message, curved):
    with pytest.raises(ConfigError, match=message):
        build(curved[0])


@pytest.mark.parametrize(
    "attack",
    [
        lambda m: BIM(m, 0.09, steps=20),
        lambda m: PGD(m, 0.09, steps=20, restarts=2),
    ],
    ids=["BIM", "PGD"],
)
def test_the_judge_decides_what_is_misclassified(attack):
    oracle = LinearOracle()
    x, y = oracle.samples(20)
    x, y = x[y == 0], y[y == 0]
    # Scores are (0, s): the view loses class 0 where s > 0, the judge only where s > 0.3.
    judge = nn.Sequential(oracle, nn.Linear(2, 2))
    with torch.no_grad():
        judge[1].weight.copy_(torch.eye(2))
        judge[1].bias.copy_(torch.tensor([0.3, 0.0]))
    alone = craft(attack, oracle, x, y)
    judged = craft(attack, oracle, x, y, judge=judge)
    assert (judge(alone.x_adv).argmax(dim=1) != y).float().mean() < 0.5
    assert (judge(judged.x_adv).argmax(dim=1) != y).all()
    assert judged.forwards > alone.forwards


def test_a_transferred_attack_uses_its_budget_up():
    oracle = LinearOracle()
    x, y = oracle.samples(10)
    attack = lambda m: BIM(m, 0.09, steps=20)  # noqa: E731
    distances = [
        (craft(attack, oracle, x, y, transferred=t).x_adv - x).abs().amax(dim=(1, 2, 3)).min()
        for t in (False, True)
    ]
    assert distances[0] < 0.085
    assert distances[1] == pytest.approx(0.09, abs=1e-6)


def test_apgd_goes_on_while_the_judge_is_not_convinced():
    oracle = LinearOracle()
    x, y = oracle.samples(10)
    x, y = x[y == 0], y[y == 0]
    firm = nn.Sequential(oracle, nn.Linear(2, 2))
    with torch.no_grad():
        firm[1].weight.zero_()
        firm[1].bias.copy_(torch.tensor([1.0, 0.0]))
    attack = lambda m: APGD(m, 0.09, steps=20)  # noqa: E731
    assert craft(attack, oracle, x, y).forwards < 5
    assert craft(attack, oracle, x, y, transferred=True).forwards == 21
    # Each of 21 looks is of the view, and of the judge from where the view is lost.
    assert craft(attack, oracle, x, y, judge=firm).forwards > 35


class TwoGoals(nn.Module):
    """Untargeted attackers brighten the first pixel, those with a target darken the second."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.weight * x.flatten(1)

    def objective(self, outputs, y):
        return outputs[:, 0]

    def targeted_objective(self, outputs, target):
        return outputs[:, 1]


@pytest.mark.parametrize(
    "build", [lambda m: BIM(m, 0.1, alpha=0.05, steps=5), lambda m: APGD(m, 0.1, steps=20)]
)
@pytest.mark.parametrize("targeted", [False, True])
def test_a_view_may_name_another_objective_for_targets(build, targeted):
    # The label is predicted and the target is not, whatever the two pixels are.
    x = torch.tensor([0.5, 0.5, 0.9, 0.1]).view(1, 1, 2, 2)
    y, target = torch.tensor([2]), torch.tensor([3]) if targeted else None
    moved = craft(build, TwoGoals(), x, y, target=target).x_adv.flatten()
    expected = torch.tensor(0.4 if targeted else 0.6)
    torch.testing.assert_close(moved[1 if targeted else 0], expected, atol=1e-4, rtol=0)


def test_a_difference_climbs_the_label_and_descends_the_target():
    x = torch.tensor([0.5, 0.5, 0.9, 0.1]).view(1, 1, 2, 2)
    attack = lambda m: TGSM(m, 0.1, equation=3)  # noqa: E731
    moved = craft(attack, TwoGoals(), x, torch.tensor([2]), target=torch.tensor([3])).x_adv
    torch.testing.assert_close(moved.flatten(), torch.tensor([0.6, 0.4, 0.9, 0.1]))
