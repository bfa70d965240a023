"""Total variation minimization: a minimizer, its masks, and how its defense is attacked."""

import pytest
import torch
from torch import nn

from robust.attacks import PGD, craft, sample_seeds
from robust.attacks.views import Randomized
from robust.defenses import Squeezed, Standard
from robust.errors import ConfigError
from robust.transforms import TotalVariation

NORMS = ["isotropic", "anisotropic", "group"]


def images(n=4, channels=3, side=10, seed=0):
    """Ramps with steps and noise upon them, in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(0.2, 0.6, side).expand(n, channels, side, side).clone()
    ramp[..., side // 3 : 2 * side // 3, side // 2 :] += 0.3
    return (ramp + 0.1 * torch.randn(ramp.shape, generator=generator)).clamp(0, 1)


def variation(z, norm="isotropic"):
    z = z.double()
    down, right = torch.zeros_like(z), torch.zeros_like(z)
    down[..., :-1, :], right[..., :-1] = z.diff(dim=-2), z.diff(dim=-1)
    if norm == "isotropic":
        return (down**2 + right**2).sqrt().sum(dim=(1, 2, 3))
    if norm == "anisotropic":
        return (down.abs() + right.abs()).sum(dim=(1, 2, 3))
    return down.norm(dim=-1).sum(dim=(1, 2)) + right.norm(dim=-2).sum(dim=(1, 2))


def objective(z, x, observed, strength, norm="isotropic"):
    fidelity = (observed * (z - x)).double().square().sum(dim=(1, 2, 3)) / 2
    return fidelity + strength * variation(z, norm)


def mask(transform, x):
    """Where ``transform`` observes ``x``: where its images follow a pixel."""
    return transform._mask(x)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_no_image_nearby_has_a_lower_objective(norm, drop):
    x = images()
    transform = TotalVariation(0.05, drop, iterations=1000, norm=norm)
    z, observed = transform(x), mask(transform, x)
    least = objective(z, x, observed, 0.05, norm)
    assert (least < objective(x, x, observed, 0.05, norm)).all()
    generator = torch.Generator().manual_seed(1)
    for scale in (1e-3, 1e-2, 1e-1):
        for _ in range(20):
            other = z + scale * torch.randn(z.shape, generator=generator)
            assert (objective(other, x, observed, 0.05, norm) > least - 1e-5).all()
        assert (objective(z + scale * (x - z), x, observed, 0.05, norm) > least - 1e-5).all()
        mean = (x * observed).mean(dim=(2, 3), keepdim=True)
        assert (objective(z + scale * (mean - z), x, observed, 0.05, norm) > least - 1e-5).all()


@pytest.mark.parametrize("norm", NORMS)
def test_two_pixels_by_hand(norm):
    """Each moves by the strength towards the other, and they meet where the gap is twice that."""
    x = torch.tensor([0.2, 0.8]).view(1, 1, 1, 2)
    near = TotalVariation(0.1, 0.0, norm=norm)(x).flatten()
    assert near.tolist() == pytest.approx([0.3, 0.7], abs=1e-5)
    assert TotalVariation(0.4, 0.0, norm=norm)(x).flatten().tolist() == pytest.approx(
        [0.5, 0.5], abs=1e-4
    )


@pytest.mark.parametrize("norm", NORMS)
def test_hardly_any_strength_without_mask_returns_the_image(norm):
    x = images()
    torch.testing.assert_close(TotalVariation(1e-6, 0.0, norm=norm)(x), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("drop", [0.0, 0.5, 0.9])
def test_a_constant_image_stays(norm, drop):
    x = torch.tensor([0.0, 0.3, 1.0]).view(1, 3, 1, 1).expand(2, 3, 9, 7).clone()
    torch.testing.assert_close(TotalVariation(0.1, drop, norm=norm)(x), x, atol=1e-5, rtol=0)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_more_strength_leaves_less_variation(drop):
    x = images()
    amounts = [variation(x)]
    amounts += [variation(TotalVariation(s, drop, 600)(x)) for s in (0.01, 0.03, 0.1, 0.3)]
    assert (torch.stack(amounts).diff(dim=0) < 0).all()


def test_the_mean_stays_without_a_mask():
    x = images()
    z = TotalVariation(0.1, 0.0, iterations=500)(x)
    torch.testing.assert_close(z.mean(dim=(2, 3)), x.mean(dim=(2, 3)), atol=1e-4, rtol=0)


def test_dropped_pixels_are_filled_and_do_not_count():
    x = images(side=12)
    transform = TotalVariation(0.01, 0.5, iterations=400, seed=None)
    torch.manual_seed(0)
    observed = mask(transform, x)
    other = torch.where(observed > 0, x, 1 - x)
    torch.manual_seed(0)
    z = transform(x)
    torch.manual_seed(0)
    torch.testing.assert_close(transform(other), z, atol=0, rtol=0)
    assert ((z - other).abs()[observed == 0].mean()) > 0.1
    smooth = torch.linspace(0.2, 0.8, 12).expand(1, 1, 12, 12).clone()
    filled = TotalVariation(0.001, 0.5, iterations=800)(smooth)
    assert (filled - smooth).abs().mean() < 0.03


@pytest.mark.parametrize("drop", [0.0, 0.3, 0.99])
def test_images_stay_images(drop):
    x = torch.rand(3, 2, 5, 6, generator=torch.Generator().manual_seed(0)).round()
    before = x.clone()
    z = TotalVariation(0.03, drop, iterations=20)(2 * x - 0.5)
    assert z.shape == x.shape
    assert z.dtype == x.dtype
    assert z.min() >= 0
    assert z.max() <= 1
    assert torch.equal(x, before)
    assert len(TotalVariation()(x[:0])) == 0


# --- masks


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("drop", [0.2, 0.5])
def test_the_share_of_dropped_pixels(drop, seed):
    x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    observed = mask(TotalVariation(drop=drop, seed=seed), x)
    assert set(observed.unique().tolist()) == {0, 1}
    assert observed.mean(dim=(1, 2, 3)).tolist() == pytest.approx([1 - drop] * 8, abs=0.04)
    both = (observed[:, 0] * observed[:, 1]).mean().item()
    assert both == pytest.approx((1 - drop) ** 2, abs=0.02)  # channels are dropped on their own


def test_the_mask_follows_from_the_image():
    x = images(n=5)
    transform = TotalVariation()
    together = mask(transform, x)
    alone = torch.cat([mask(transform, image) for image in x.split(1)])
    assert torch.equal(together, alone)
    torch.testing.assert_close(transform(x)[2:3], transform(x[2:3]), atol=1e-6, rtol=0)
    assert len({tuple(m.flatten().tolist()) for m in together}) == 5
    moved = x.clone()
    moved[:, 0, 0, 0] = 1 - moved[:, 0, 0, 0].round()
    assert (mask(transform, moved) != together).flatten(1).any(dim=1).all()
    assert not torch.equal(mask(TotalVariation(seed=1), x), together)
    byte = (x * 255).round() / 255
    assert torch.equal(mask(transform, byte + 1e-4), mask(transform, byte))


def test_the_mask_knows_where_a_pixel_is():
    x = images(n=1)
    assert not torch.equal(mask(TotalVariation(), x), mask(TotalVariation(), x.flip(-1)))


def test_without_a_seed_every_call_is_random():
    x, transform = images(), TotalVariation(seed=None, iterations=20)
    torch.manual_seed(0)
    first, second = transform(x), transform(x)
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(transform(x), first)


def test_at_test_only():
    x, transform = images(), TotalVariation(in_training=False, iterations=5)
    assert torch.equal(transform.train()(x), x)
    assert not torch.equal(transform.eval()(x), x)
    assert not torch.equal(TotalVariation(iterations=5).train()(x), x)


# --- under attack


def small_network(channels=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


@pytest.mark.parametrize("defense", [Standard, Squeezed])
@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_the_adaptive_view_predicts_alike_and_has_a_gradient(defense, drop):
    transform = TotalVariation(drop=drop, iterations=20, eot=2)
    defended = defense(small_network(), transform=transform).eval()
    view = defended.adaptive_view()
    x = images(n=20, channels=1, side=8).requires_grad_()
    torch.manual_seed(0)
    scores = view(x)
    assert torch.equal(scores.argmax(dim=1), defended(x).argmax(dim=1))
    scores.square().sum().backward()
    assert x.grad.flatten(1).any(dim=1).all()
    (masked,) = torch.autograd.grad(defended(x).sum(), x)
    assert not masked.any()


def test_the_gradient_is_the_mean_over_masks():
    transform = TotalVariation(drop=0.5, iterations=20, eot=3)
    assert isinstance(transform, Randomized)
    network = small_network()
    view = Standard(network, transform=transform).eval().outputs_view()
    x = images(n=2, channels=1, side=8).requires_grad_()
    torch.manual_seed(5)
    (gradient,) = torch.autograd.grad(view(x).square().sum(), x)
    scale = 2 * view(x).detach()
    torch.manual_seed(5)
    fresh, samples = transform.resampled()
    assert samples == 3
    expected = torch.zeros_like(x)
    for _ in range(3):
        z = fresh(x.detach()).requires_grad_()
        expected += torch.autograd.grad((network(z) * scale).sum(), z)[0] / 3
    torch.testing.assert_close(gradient, expected)
    torch.manual_seed(6)
    (other,) = torch.autograd.grad(view(x).square().sum(), x)
    assert not torch.allclose(other, gradient)


def test_nothing_is_averaged_where_nothing_is_random():
    assert TotalVariation(drop=0.0).resampled() is None
    view = Standard(
        small_network(), transform=TotalVariation(drop=0.0, iterations=5)
    ).outputs_view()
    x = images(n=2, channels=1, side=8).requires_grad_()
    (first,) = torch.autograd.grad(view(x).sum(), x)
    (second,) = torch.autograd.grad(view(x).sum(), x)
    assert torch.equal(first, second)


def test_without_gradients_no_mask_is_sampled_for_them():
    view = Standard(small_network(), transform=TotalVariation(iterations=5)).outputs_view()
    state = torch.get_rng_state()
    with torch.no_grad():
        view(images(n=2, channels=1, side=8))
    assert torch.equal(torch.get_rng_state(), state)


def test_crafting_is_reproducible():
    defended = Standard(small_network(), transform=TotalVariation(iterations=5, eot=2)).eval()
    x = images(n=3, channels=1, side=8)
    y = defended(x).argmax(dim=1)

    def crafted():
        return craft(
            lambda view: PGD(view, eps=0.1, steps=3),
            defended.adaptive_view(),
            x,
            y,
            seed=1,
            sample_seeds=sample_seeds(0, torch.arange(3)),
            judge=defended,
        ).x_adv

    first = crafted()
    assert not torch.equal(first, x)
    assert torch.equal(crafted(), first)


# --- arguments


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"strength": 0.0}, r"`strength` to be positive and finite, but got 0\.0\."),
        ({"strength": -1.0}, r"`strength` to be positive and finite, but got -1\.0\."),
        ({"strength": float("nan")}, r"`strength` to be positive and finite, but got nan\."),
        ({"strength": float("inf")}, r"`strength` to be positive and finite, but got inf\."),
        ({"drop": 1.0}, r"`drop` in \[0, 1\), but got 1\.0\."),
        ({"drop": -0.1}, r"`drop` in \[0, 1\), but got -0\.1\."),
        ({"drop": float("nan")}, r"`drop` in \[0, 1\), but got nan\."),
        ({"iterations": 0}, r"`iterations` to be at least 1, but got 0\."),
        ({"eot": 0}, r"`eot` to be at least 1, but got 0\."),
        ({"seed": -1}, r"`seed` to be 0 to 2\*\*32 - 1, but got -1\."),
        ({"seed": 2**32}, r"`seed` to be 0 to 2\*\*32 - 1, but got 4294967296\."),
    ],
)
def test_arguments_out_of_range(arguments, match):
    with pytest.raises(ConfigError, match=rf"\AExpected [^\n]*{match}[^\n]*\Z"):
        TotalVariation(**arguments)
