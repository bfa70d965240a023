"""JSMA beside those of the Adversarial Robustness Toolbox and torchattacks, where installed."""

import pytest
import torch
import torchattacks
from torch import nn

from robust.attacks.craft import craft
from robust.attacks.gradient.jsma import JSMA

pytestmark = pytest.mark.reference

SIDE = 8


def small_network():
    """A small network that tells three patches of light apart, and images of them."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(48) % 3
    x = 0.3 * torch.rand(48, 1, SIDE, SIDE, generator=generator)
    for label in range(3):
        x[y == label, :, 2 * label : 2 * label + 3, 2 * label : 2 * label + 3] += 0.5
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 24), nn.Tanh(), nn.Linear(24, 3))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
    return network.eval(), x, y


def success(network, x_adv, target):
    share = (network(x_adv).argmax(dim=1) == target).float().mean().item()
    print(f"JSMA: {share:.3f}")
    return share


def test_on_probabilities_it_is_arts_saliency_map_method():
    evasion = pytest.importorskip("art.attacks.evasion")
    classification = pytest.importorskip("art.estimators.classification")
    network, x, y = small_network()
    target = (y + 1) % 3
    classifier = classification.PyTorchClassifier(
        nn.Sequential(network, nn.Softmax(dim=1)),
        nn.CrossEntropyLoss(),
        x.shape[1:],
        3,
        clip_values=(0, 1),
        device_type="cpu",
    )
    peer = evasion.SaliencyMapMethod(classifier, theta=1.0, gamma=0.5, verbose=False)
    theirs = torch.from_numpy(peer.generate(x.numpy(), torch.eye(3)[target].numpy()))
    ours = craft(lambda m: JSMA(m, theta=1.0, gamma=0.5), network, x, y, target=target).x_adv
    assert success(network, ours, target) == success(network, theirs, target) == 1
    # The others' sum is minus the target's derivative, so the best pair is the two largest, which
    # is ART's rule for every kind of output. Ties in rounding aside, the images are the same.
    same = (ours == theirs).flatten(1).all(dim=1).float().mean()
    assert same > 0.9


def test_on_scores_it_is_that_of_torchattacks():
    network, x, y = small_network()
    x, y = x[:12], y[:12]
    target = (y + 1) % 3
    gamma = 0.5
    theirs = craft(
        lambda m: torchattacks.JSMA(m, theta=1.0, gamma=gamma), network, x, y, target=target
    ).x_adv
    ours = craft(
        lambda m: JSMA(m, theta=1.0, gamma=gamma, outputs="scores"), network, x, y, target=target
    ).x_adv
    ours_succeeds = network(ours).argmax(dim=1) == target
    theirs_succeeds = network(theirs).argmax(dim=1) == target
    assert ours_succeeds.float().mean() >= theirs_succeeds.float().mean()
    both = ours_succeeds & theirs_succeeds
    assert both.any()
    assert torch.equal(ours[both], theirs[both])
