import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robust.attacks import ReleasedCarliniWagner, ReleasedFGSM, craft
from robust.errors import ConfigError

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)


@pytest.fixture
def curved():
    """A small network of three channels, images, and the classes that it sees in them."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Linear(16, 4))
    x = torch.rand(12, 3, 4, 4)
    return network, x, network(x).argmax(dim=1)


def standardized(x):
    return (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def pixels(z):
    return z * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]


def gradient(network, z, y):
    z = z.detach().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(network(pixels(z)), y), z)[0]


@pytest.mark.parametrize("descend", [True, False])
def test_one_step_is_taken_and_clipped_in_standardized_pixels(curved, descend):
    network, x, y = curved
    z = standardized(x)
    sign = gradient(network, z, y).sign()
    expected = pixels((z - 0.1 * sign if descend else z + 0.1 * sign).clamp(0, 1))
    crafted = craft(
        lambda m: ReleasedFGSM(m, 0.1, descend=descend, mean=MEAN, std=STD), network, x, y
    )
    torch.testing.assert_close(crafted.x_adv, expected)


def test_descending_lowers_the_loss_of_images_that_the_clipping_spares(curved):
    network, x, _ = curved
    x = pixels(0.3 + 0.4 * x)
    y = network(x).argmax(dim=1)

    def loss(descend):
        attack = lambda m: ReleasedFGSM(m, 0.1, descend=descend, mean=MEAN, std=STD)  # noqa: E731
        return F.cross_entropy(network(craft(attack, network, x, y).x_adv), y)

    assert loss(descend=True) < F.cross_entropy(network(x), y) < loss(descend=False)


def test_a_radius_of_zero_still_takes_what_is_outside_the_standardized_box(curved):
    network, x, y = curved
    crafted = craft(lambda m: ReleasedFGSM(m, 0.0, mean=MEAN, std=STD), network, x, y)
    torch.testing.assert_close(crafted.x_adv, pixels(standardized(x).clamp(0, 1)))
    assert (crafted.x_adv - x).abs().max() > 0.2


def test_iterated_steps_stay_within_the_radius(curved):
    network, x, y = curved
    z = w = standardized(x)
    for _ in range(4):
        w = w + gradient(network, w, y).sign()
        w = torch.maximum(torch.minimum(w, z + 0.1), z - 0.1).clamp(0, 1)
    attack = ReleasedFGSM(network, 0.1, step=1.0, steps=4, mean=MEAN, std=STD)
    torch.testing.assert_close(craft(lambda m: attack, network, x, y).x_adv, pixels(w))
    assert attack.eps == 1


@pytest.mark.parametrize("targeted", [False, True])
def test_carlini_wagner_is_adam_on_standardized_pixels(curved, targeted):
    network, x, y = curved
    target = (y + 1) % 4
    z = standardized(x)
    w = z.clone().requires_grad_()
    adam = torch.optim.Adam([w], lr=0.1)
    for _ in range(25):
        adam.zero_grad()
        scores = network(pixels(w))
        goal = (target if targeted else y).unsqueeze(1)
        wanted = scores.gather(1, goal).squeeze(1)
        others = scores.masked_fill(F.one_hot(goal.squeeze(1), 4).bool(), -1e9).amax(dim=1)
        behind = others - wanted if targeted else wanted - others
        ((w - z) ** 2).sum().add(10 * behind.relu().sum()).backward()
        adam.step()
    crafted = craft(
        lambda m: ReleasedCarliniWagner(m, steps=25, lr=0.1, mean=MEAN, std=STD),
        network,
        x,
        y,
        target=target if targeted else None,
    )
    torch.testing.assert_close(crafted.x_adv, pixels(w.detach()).clamp(0, 1))
    moved = network(crafted.x_adv).argmax(dim=1)
    assert ((moved == target) if targeted else (moved != y)).any()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda m: ReleasedFGSM(m, -0.1), "`radius` to be non-negative"),
        (lambda m: ReleasedFGSM(m, step=-1.0), "`alpha` to be non-negative"),
        (lambda m: ReleasedFGSM(m, mean=(0.5,)), "one number a channel"),
        (lambda m: ReleasedFGSM(m, std=(0.2, 0.0, 0.2)), "every `std` to be positive"),
        (lambda m: ReleasedCarliniWagner(m, c=0.0), "`c` to be positive"),
        (lambda m: ReleasedCarliniWagner(m, lr=0.0), "`lr` to be positive"),
        (lambda m: ReleasedCarliniWagner(m, steps=0), "`steps` to be at least 1"),
    ],
)
def test_arguments_are_checked(build, message, curved):
    with pytest.raises(ConfigError, match=message):
        build(curved[0])


def test_another_number_of_channels_is_refused(curved):
    network, x, y = curved
    attack = ReleasedFGSM(network, mean=(0.5, 0.5), std=(0.2, 0.2))
    with pytest.raises(ConfigError, match="images of 2 channels"):
        attack(x, y)
