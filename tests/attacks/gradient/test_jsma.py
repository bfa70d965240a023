"""JSMA: exact feature counts on the oracle, the exact pair search, and odd views."""

import pytest
import torch
from torch import nn

from robust.attacks.craft import craft
from robust.attacks.gradient import jsma
from robust.attacks.gradient.jsma import JSMA
from robust.errors import ConfigError
from tests.support.oracles import LinearOracle


class Shaped(nn.Module):
    """The scores of a small network, put through a function."""

    def __init__(self, shape, classes=3, channels=1):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(channels * 36, 16, generator=generator) / 3)
        self.last = nn.Parameter(torch.randn(16, classes, generator=generator))
        self.shape = shape

    def forward(self, x):
        hidden = torch.tanh((x.flatten(1) - 0.5) @ self.first.to(x.dtype))
        return self.shape(hidden @ self.last.to(x.dtype))


SHAPES = {"raw": lambda z: z, "all negative": lambda z: z - 100}


def images(n, channels=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(n + channels)
    x = torch.rand(n, channels, 6, 6, generator=generator, dtype=dtype)
    x[:, :, 0], x[:, :, 1] = 0, 1
    return x


def changed(x, x_adv):
    return (x_adv != x).flatten(1).sum(dim=1)


@pytest.mark.parametrize("n", [1, 64])
@pytest.mark.parametrize("pixels", [1, 2])
@pytest.mark.parametrize("theta", [0.3, -0.3, 1.0])
@pytest.mark.parametrize("targeted", [False, True])
def test_the_oracle_falls_to_the_least_number_of_features(n, pixels, theta, targeted):
    oracle = LinearOracle()
    x, y = oracle.samples(n)
    # Weights are +-1 and the score is 0.8. A feature that can help moves it by 0.3, or by what is
    # left of the box, 0.5 within a tenth. By pairs, three features become four.
    least = 2 if theta == 1 else {1: 3, 2: 4}[pixels]
    attack = lambda model: JSMA(model, theta=theta, gamma=1.0, pixels=pixels)  # noqa: E731
    x_adv = craft(attack, oracle, x, y, target=1 - y if targeted else None).x_adv
    assert (oracle(x_adv).argmax(dim=1) != y).all()
    assert (changed(x, x_adv) == least).all()
    helpful = (oracle.w.view(1, *x.shape[1:]) * (1 - 2 * y).view(-1, 1, 1, 1) * theta) > 0
    assert not (x_adv != x)[~helpful].any()


@pytest.mark.parametrize("pixels", [1, 2])
def test_no_more_than_the_share_of_features_changes(pixels):
    oracle = LinearOracle()
    x, y = oracle.samples(8)
    x_adv = craft(lambda m: JSMA(m, theta=0.1, gamma=0.2, pixels=pixels), oracle, x, y).x_adv
    assert (changed(x, x_adv) == {1: 5, 2: 4}[pixels]).all()
    assert torch.equal(oracle(x_adv).argmax(dim=1), y)


def test_as_zantedeschi_et_al_run_it_no_feature_moves_twice():
    # A network that keeps its class shows where the attack ends.
    firm = Shaped(lambda z: z + torch.tensor([1e3, 0.0, 0.0]))
    x = images(8)
    y = firm(x).argmax(dim=1)
    change = craft(lambda m: JSMA(m, theta=0.1, gamma=1.0), firm, x, y).x_adv - x
    moved = change != 0
    torch.testing.assert_close(change[moved], (1 - x[moved]).clamp_max(0.1))
    # Pairs, and more features than the default's tenth.
    assert (moved.flatten(1).sum(dim=1) % 2 == 0).all()
    assert (moved.flatten(1).sum(dim=1) > 8).all()


def brute_force(gain, loss):
    """The largest saliency of a pair, over all of them."""
    saliency = (gain[:, :, None] + gain[:, None]).clamp_min(0) * (
        loss[:, :, None] + loss[:, None]
    ).clamp_min(0)
    saliency.diagonal(dim1=1, dim2=2).zero_()
    return saliency.flatten(1).amax(dim=1)


@pytest.mark.parametrize("block", [1, 50, 2**22])
@pytest.mark.parametrize("relation", ["independent", "ties", "opposed", "alike", "none"])
def test_the_pair_search_equals_brute_force(monkeypatch, block, relation):
    monkeypatch.setattr(jsma, "_BLOCK", block)
    generator = torch.Generator().manual_seed(block)
    for size in (2, 3, 7, 40):
        gain, noise = torch.randn(2, 20, size, generator=generator)
        loss = {
            "independent": noise,
            "ties": noise.round(),
            "opposed": -gain + 0.01 * noise,
            "alike": gain + 0.1 * noise,
            "none": -gain.abs(),
        }[relation]
        gain = gain.round() if relation == "ties" else gain
        out = torch.rand(20, size, generator=generator) < 0.3
        gain, loss = gain.masked_fill(out, -torch.inf), loss.masked_fill(out, -torch.inf)
        chosen = jsma.best_pair(gain, loss)
        expected = brute_force(gain, loss)
        assert torch.equal(chosen.found, expected > 0)
        pair = chosen.features[chosen.found]
        assert (pair[:, 0] != pair[:, 1]).all()
        # As `brute_force` adds: on any CPU, two numbers have one rounded sum.
        gains, losses = (
            of_pair[:, 0] + of_pair[:, 1]
            for of_pair in (values[chosen.found].gather(1, pair) for values in (gain, loss))
        )
        assert torch.equal(gains * losses, expected[chosen.found])


def test_the_best_single_feature_is_that_of_the_formula():
    gain = torch.tensor([[3.0, -5.0, 1.0, 2.0], [-1.0, -1.0, -1.0, -1.0]])
    loss = torch.tensor([[-1.0, -5.0, 5.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    chosen = jsma.best_feature(gain, loss)
    assert chosen.found.tolist() == [True, False]
    assert chosen.features[0].tolist() == [2]


def test_pairs_of_cifar_images_are_never_all_in_memory(monkeypatch):
    sizes = []
    saliency = jsma._saliency
    monkeypatch.setattr(
        jsma, "_saliency", lambda gain, loss: sizes.append(gain.numel()) or saliency(gain, loss)
    )
    monkeypatch.setattr(jsma, "_BLOCK", 2**18)
    angle = torch.rand(2, 3072, generator=torch.Generator().manual_seed(0)) * torch.pi / 2
    # On a circle no feature replaces another: nothing can be ruled out.
    gain, loss = angle.cos(), angle.sin()
    assert jsma.best_pair(gain, loss).found.all()
    assert max(sizes) <= 2**18
    assert sum(sizes) > 0.98 * 2 * 3072**2
    sizes.clear()
    jsma.best_pair(gain, torch.rand(2, 3072, generator=torch.Generator().manual_seed(1)))
    assert sum(sizes) < 2 * 100**2


@pytest.mark.parametrize("outputs", ["scores", "probabilities"])
def test_probabilities_do_not_care_what_is_added_to_all_scores(outputs):
    x = images(16)
    y = Shaped(SHAPES["raw"])(x).argmax(dim=1)

    def result(shape):
        model = Shaped(shape).double()
        attack = lambda m: JSMA(m, gamma=0.3, target_rule="nearest", outputs=outputs)  # noqa: E731
        return craft(attack, model, x.double(), y).x_adv

    raw, shifted = result(SHAPES["raw"]), result(lambda z: z + 3 * z.sum(dim=1, keepdim=True))
    assert torch.equal(raw, shifted) == (outputs == "probabilities")


@pytest.mark.parametrize("rule", ["random", "nearest", "least_likely"])
def test_the_class_aimed_at_follows_the_rule(rule):
    model = Shaped(SHAPES["all negative"], classes=5)
    x = images(64)
    scores = model(x)
    y = scores.argmax(dim=1)
    aim = JSMA(model, target_rule=rule)._aim(x, y)
    order = scores.argsort(dim=1, descending=True)
    if rule == "random":
        assert (aim != y).all()
        assert set(((aim - y) % 5).tolist()) == {1, 2, 3, 4}
    else:
        assert torch.equal(aim, order[:, 1 if rule == "nearest" else -1])
    # A label that is not the prediction is no aim either.
    other = (y + 2) % 5
    assert (JSMA(model, target_rule=rule)._aim(x, other) != other).all()


def test_weights_are_left_without_gradients():
    model = Shaped(SHAPES["raw"])
    x = images(4)
    JSMA(model)(x, model(x).argmax(dim=1))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_has_no_eps():
    assert not hasattr(JSMA(Shaped(SHAPES["raw"])), "eps")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"theta": 0.0}, r"Expected `theta` to be in \[-1, 1\] and not 0, but got 0.0\. Give"),
        ({"theta": 1.5}, "Expected `theta` .* but got 1.5"),
        ({"theta": float("nan")}, "Expected `theta` .* but got nan"),
        ({"gamma": 0.0}, r"Expected `gamma` to be in \(0, 1\], but got 0.0\. Give the share"),
        ({"gamma": 1.1}, "Expected `gamma` .* but got 1.1"),
        ({"pixels": 3}, "Expected `pixels` to be 1 or 2, but got 3"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        JSMA(Shaped(SHAPES["raw"]), **arguments)
