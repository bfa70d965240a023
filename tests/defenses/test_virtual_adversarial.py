"""Virtual adversarial training: its direction, its images, its loss."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robust.attacks import craft
from robust.defenses import VirtualAdversarial, VirtualAdversarialImages
from robust.defenses.crafting import kl_divergence
from robust.defenses.virtual_adversarial import released_direction, virtual_direction
from robust.errors import ConfigError


def linear(scale=1.0):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    with torch.no_grad():
        network[1].weight.mul_(4 * scale)
    return network


def images(n=20):
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def fisher_metric(network, x):
    """Of a linear softmax: W^T (diag(p) - p p^T) W, in float64."""
    weight = network[1].weight.detach().double()
    p = network(x).detach().double().softmax(dim=1)
    return weight.T @ (torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)) @ weight


def fisher_direction(network, x):
    """The top eigenvector of the metric of each image."""
    return torch.linalg.eigh(fisher_metric(network, x)).eigenvectors[:, :, -1]


def cosine(first, second):
    return (first.flatten(1).double() * second.flatten(1)).sum(dim=1).abs()


def found(network, x, xi=0.01, iterations=50):
    start = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    return virtual_direction(network, x, start, xi, iterations)


def test_the_direction_is_the_top_eigenvector_of_the_fisher_metric():
    network, x = linear(), images()
    assert found(network, x).flatten(1).norm(dim=1).sub(1).abs().max() < 1e-5
    assert cosine(found(network, x), fisher_direction(network, x)).min() > 0.99


def test_also_of_a_network_that_is_sure():
    """In float32 its softmax is one and zero; where two eigenvalues are close, either will do."""
    network, x = linear(20.0), images()
    assert (network(x).softmax(dim=1).amax(dim=1) == 1).any()
    v = found(network, x, xi=0.001).flatten(1).double()
    metric = fisher_metric(network.double(), x.double())
    stretch = torch.einsum("ni,nij,nj->n", v, metric, v)
    most = torch.linalg.eigvalsh(metric)[:, -1]
    exact = most > 1e-12  # below, the metric itself is rounding
    assert exact.sum() > 15
    assert (stretch > 0.95 * most)[exact].all()


def test_each_iteration_comes_nearer():
    network, x = linear(), images()
    near = [
        cosine(found(network, x, iterations=k), fisher_direction(network, x)).mean()
        for k in (0, 1, 5)
    ]
    assert near[0] < near[1] < near[2]


def made(network, x, **settings):
    y = torch.zeros(len(x), dtype=torch.int64)
    return craft(lambda view: VirtualAdversarialImages(view, **settings), network, x, y).x_adv


def test_images_lie_at_eps_or_are_clipped():
    network, x = linear(), images()
    moved = made(network, x, eps=0.7, clip=False)
    torch.testing.assert_close((moved - x).flatten(1).norm(dim=1), torch.full((20,), 0.7))
    assert moved.min() < 0
    torch.testing.assert_close(made(network, x, eps=0.7), moved.clamp(0, 1))


def test_images_move_the_distribution_further_than_noise():
    network, x = linear(), images()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    noise = 0.3 * noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    moved = made(network, x, eps=0.3, clip=False)
    assert (
        kl_divergence(network(x), network(moved)) > kl_divergence(network(x), network(x + noise))
    ).all()


def test_where_nothing_changes_the_distribution_images_stay():
    network = linear(0.0)
    assert torch.equal(made(network, images()), images())


def test_as_released_the_direction_is_that_of_the_softmax_taken_twice():
    network, x = linear(), images()
    start = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    twice = nn.Sequential(network, nn.Softmax(dim=1))
    released = released_direction(network, x, start, xi=0.01, power_iterations=5)
    expected = virtual_direction(twice, x, start, xi=0.01, power_iterations=5)
    torch.testing.assert_close(released, expected, rtol=0, atol=2e-3)


def test_as_released_most_images_of_a_sure_network_are_the_clean_ones():
    network, x = linear(100.0), images(200)
    settings = {"xi": 1e-6, "clip": False}
    apart = (made(network, x, released=True, **settings) - x).flatten(1).norm(dim=1)
    assert (apart == 0).double().mean() > 0.5
    torch.testing.assert_close(
        (made(network, x, **settings) - x).flatten(1).norm(dim=1).median(), torch.tensor(2.1)
    )


def test_the_loss_by_hand():
    network, x, y = linear(), images(), torch.arange(20) % 4
    model = VirtualAdversarial(network, eps=0.5, power_iterations=3, weight=2.0)
    virtual = model.virtual(x, y)
    p, q = network(x).softmax(dim=1), network(virtual).softmax(dim=1)
    divergence = (p * (p.log() - q.log())).sum(dim=1).mean()
    loss = model.training_loss(x, y)
    assert divergence > 0.01
    expected = F.cross_entropy(network(x), y) + 2 * divergence
    torch.testing.assert_close(loss, expected, check_dtype=False)
    assert not torch.equal(virtual, model.virtual(x[:10], y[:10]))


def test_the_clean_distribution_is_a_constant_to_the_gradient():
    network, x, y = linear(), images(), torch.arange(20) % 4
    model = VirtualAdversarial(network, weight=3.0)
    model.training_loss(x, y).backward()
    virtual = model.virtual(x, y)
    p, q = (network(z).softmax(dim=1).detach() for z in (x, virtual))
    expected = (p - F.one_hot(y, 4)).T @ x.flatten(1) + 3 * (q - p).T @ virtual.flatten(1)
    torch.testing.assert_close(network[1].weight.grad, expected / 20, rtol=1e-4, atol=1e-5)


def test_without_weight_it_is_cross_entropy():
    network, x, y = linear(), images(), torch.arange(20) % 4
    loss = VirtualAdversarial(network, weight=0.0).training_loss(x, y)
    torch.testing.assert_close(loss, F.cross_entropy(network(x), y), check_dtype=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": -1.0}, "`eps` to be non-negative, but got -1"),
        ({"xi": 0.0}, "`xi` to be positive, but got 0"),
        ({"power_iterations": 0}, "`power_iterations` to be at least 1, but got 0"),
        ({"weight": -1.0}, "`weight` to be non-negative, but got -1"),
    ],
)
def test_bad_arguments(settings, message):
    with pytest.raises(ConfigError, match=message):
        VirtualAdversarial(linear(), **settings)
