"""Threat models: distances, projections, and the check of what an attack returned."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.errors import ConfigError
from robust.threat import ThreatModel, ThreatModelViolation, distance

NORMS = ["Linf", "L2", "L1"]


def pair(seed, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(4, 3, 5, 5, generator=generator)
    return x, x + spread * torch.randn(4, 3, 5, 5, generator=generator)


@pytest.mark.parametrize(
    ("norm", "expected"),
    [("Linf", 0.5), ("L2", (0.5**2 + 0.25**2) ** 0.5), ("L1", 0.75), ("L0", 1.0)],
)
def test_distance_of_one_pixel_changed_in_two_channels(norm, expected):
    x = torch.full((1, 3, 4, 4), 0.25)
    x_adv = x.clone()
    x_adv[0, 0, 1, 2], x_adv[0, 2, 1, 2] = 0.75, 0.5
    result = distance(x, x_adv, norm)
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, torch.tensor([expected], dtype=torch.float64))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), eps=st.floats(0, 3), norm=st.sampled_from(NORMS))
def test_projection_is_within_the_threat_model_and_idempotent(seed, eps, norm):
    x, x_adv = pair(seed)
    model = ThreatModel(norm, min(eps, 1.0) if norm == "Linf" else eps)
    projected = model.project(x, x_adv)
    model.check(x, projected, "projection")
    torch.testing.assert_close(model.project(x, projected), projected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_projection_leaves_what_is_within(norm):
    x, x_adv = pair(0, spread=1e-3)
    x_adv = x_adv.clamp(0, 1)
    torch.testing.assert_close(ThreatModel(norm, 1.0).project(x, x_adv), x_adv)


def test_projection_reaches_the_boundary_of_the_ball():
    x = torch.full((2, 1, 4, 4), 0.5)
    for norm in NORMS:
        reached = ThreatModel(norm, 0.1).project(x, torch.ones_like(x))
        expected = torch.full((2,), 0.1, dtype=torch.float64)
        torch.testing.assert_close(distance(x, reached, norm), expected, atol=1e-6, rtol=1e-6)


def bisected(x, x_adv, radius):
    """The projection onto the L1 ball in [0, 1] by halving what each value gives up."""
    delta = (x_adv - x).double()
    room = torch.where(delta > 0, 1 - x.double(), x.double())

    def moved(given_up):
        return torch.minimum((delta.abs() - given_up.view(-1, 1, 1, 1)).clamp_min(0), room)

    low, high = torch.zeros(len(x)).double(), delta.abs().amax(dim=(1, 2, 3))
    for _ in range(80):
        middle = (low + high) / 2
        above = moved(middle).sum(dim=(1, 2, 3)) > radius
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return x.double() + delta.sign() * moved(high)


@pytest.mark.parametrize("spread", [1e-3, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("eps", [0.0, 1e-3, 0.7, 6.0, 30.0])
def test_onto_the_l1_ball_is_the_nearest_image(eps, spread):
    x, x_adv = pair(0, spread)
    x[0], x[1, 0] = 0, 1
    projected = ThreatModel("L1", eps).project(x, x_adv)
    torch.testing.assert_close(projected.double(), bisected(x, x_adv, eps), atol=2e-7, rtol=0)
    # Exactly: rounding goes towards the clean image.
    assert (distance(x, projected, "L1") <= eps + 1e-12).all()


def test_an_infinite_eps_is_the_full_box():
    x, x_adv = torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 2.0)
    for norm in NORMS:
        model = ThreatModel(norm, float("inf"))
        assert torch.equal(model.project(x, x_adv), torch.ones_like(x))
        model.check(x, torch.ones_like(x), "cw")
        with pytest.raises(ThreatModelViolation, match="box"):
            model.check(x, x_adv, "cw")


def test_threat_models_have_names():
    assert str(ThreatModel("Linf", 3 / 255)) == "Linf 0.01176"
    assert str(ThreatModel("L2", float("inf"))) == "L2 unbounded"


def test_l0_has_no_projection():
    with pytest.raises(ConfigError, match="Expected `norm` Linf, L2 or L1"):
        ThreatModel("L0", 3.0).project(*pair(0))


def violated(x_adv):
    x = torch.full((2, 1, 2, 2), 0.5)
    ThreatModel("Linf", 0.1).check(x, x_adv(x), "pgd")


@pytest.mark.parametrize(
    ("x_adv", "message"),
    [
        (lambda x: x + 0.3, r"`pgd` left the threat model: Linf distance 0\.3 > eps=0\.1"),
        (lambda x: x + 0.10001, "left the threat model"),
        (lambda x: x * float("nan"), "`pgd` returned NaN"),
        (lambda x: x + 1, r"`pgd` left the box \[0, 1\]"),
        (lambda x: x - 0.51, r"`pgd` left the box \[0, 1\]"),
        (lambda x: x[:, :, :1], "`pgd` returned images of shape"),
    ],
)
def test_check_names_the_attack_and_the_violation(x_adv, message):
    with pytest.raises(ThreatModelViolation, match=message):
        violated(x_adv)


def test_check_forgives_the_rounding_of_float32():
    x = torch.rand(100, 1, 8, 8)
    eps = 8 / 255
    x_adv = (x + eps * torch.randn_like(x).sign()).clamp(0, 1)
    ThreatModel("Linf", eps).check(x, x_adv, "fgsm")


def test_a_minimal_norm_attack_may_leave_the_ball_but_not_the_box():
    x = torch.full((1, 1, 2, 2), 0.5)
    model = ThreatModel("L2", 0.1)
    model.check(x, x + 0.4, "cw", budget=False)
    with pytest.raises(ThreatModelViolation, match="box"):
        model.check(x, x + 0.6, "cw", budget=False)


def test_without_images_nothing_is_misclassified():
    empty = torch.zeros(0, 1, 2, 2)
    ThreatModel("Linf", 0.1).check(empty, empty, "fgsm")


@pytest.mark.parametrize("eps", [-0.1, float("nan")])
def test_eps_is_not_negative(eps):
    with pytest.raises(ConfigError, match="Expected `eps` to be non-negative"):
        ThreatModel("Linf", eps)
