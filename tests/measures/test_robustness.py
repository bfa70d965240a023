"""Robustness, distances and sensitivities against cases worked out by hand."""

import copy
import math
import statistics

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import robust.measures.nearest as nearest
from robust.attacks import isolated
from robust.defenses import Squeezed, Standard
from robust.errors import ConfigError
from robust.losses import log_odds
from robust.measures.nearest import nearest_distance
from robust.measures.robustness import (
    empirical_robustness,
    loss_sensitivity,
    measure_robustness,
    minimal_fgsm,
    predict,
    published_minimal_fgsm,
    training_distance,
)
from robust.results.metrics import Rate
from tests.support.factories import linear


def images(*rows):
    """Images of one row of pixels."""
    return torch.tensor(rows).view(len(rows), 1, 1, -1)


class Threshold(nn.Module):
    """One pixel: class 1 above the threshold."""

    def __init__(self, threshold=0.5, gain=1.0):
        super().__init__()
        self.threshold, self.gain = threshold, gain

    def forward(self, x):
        score = self.gain * (x.flatten(1) - self.threshold)
        return torch.cat([torch.zeros_like(score), score], dim=1)


def test_robustness_is_relative_in_both_norms():
    x, x_adv = images([0.3, 0.4], [0.0, 0.5]), images([0.4, 0.4], [0.0, 0.5])
    result = empirical_robustness(x, x_adv)
    assert result.linf == pytest.approx((0.1 / 0.4 + 0) / 2, rel=1e-6)
    assert result.l2 == pytest.approx((0.1 / 0.5 + 0) / 2, rel=1e-6)
    assert result.n == 2


def test_a_black_image_has_no_relative_length():
    x, x_adv = images([0.3, 0.4], [0.0, 0.0]), images([0.4, 0.4], [0.2, 0.0])
    result = empirical_robustness(x, x_adv)
    assert (result.linf, result.n) == (pytest.approx(0.25, rel=1e-6), 1)


def test_without_images_there_are_no_means():
    none = images([0.0, 0.0])[:0]
    train = torch.zeros(3, 1, 1, 2, dtype=torch.uint8)
    assert math.isnan(empirical_robustness(none, none).l2)
    assert math.isnan(training_distance(none, none, train).l2)
    assert training_distance(none, none, train).n == 0


def test_training_distance_of_paper_and_code():
    train = torch.tensor([[0, 0], [255, 0], [0, 255]], dtype=torch.uint8).view(3, 1, 1, 2)
    x, x_adv = images([0.3, 0.4], [0.6, 0.8]), images([0.8, 0.1], [0.2, 0.7])
    result = training_distance(x, x_adv, train)
    squares = 0.2**2 + 0.1**2, 0.2**2 + 0.3**2
    assert result.l2 == pytest.approx(sum(math.sqrt(s) for s in squares) / 2, rel=1e-6)
    assert result.squared == pytest.approx((squares[0] / 0.5 + squares[1] / 1.0) / 2, rel=1e-6)
    assert result.n == 2


@pytest.mark.parametrize("m", [1, 3, 64, 65, 150])
def test_nearest_is_that_of_all_pairs(monkeypatch, m):
    for name, value in (("_BLOCK", 64), ("_GROUP", 4), ("_QUERIES", 3), ("_VALUES", 200)):
        monkeypatch.setattr(nearest, name, value)
    generator = torch.Generator().manual_seed(m)
    train = torch.randint(0, 256, (m, 1, 3, 4), generator=generator).to(torch.uint8)
    x = torch.rand(7, 1, 3, 4, generator=generator)
    pixels = (train.float() / 255).double().flatten(1)
    expected = (x.double().flatten(1).unsqueeze(1) - pixels).square().sum(dim=2).amin(dim=1).sqrt()
    torch.testing.assert_close(nearest_distance(x, train), expected, rtol=1e-12, atol=0)


def test_the_nearest_is_exact_where_float32_products_cannot_tell():
    # Images that differ in one pixel by one level. Squared distances from a noisy copy differ by
    # 1e-5, the rounding of a product of about 600 by more.
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(200, 255, (784,), generator=generator)
    train = image + torch.eye(784, dtype=torch.int64)[:300]
    noise = 0.002 * torch.randn(30, 784, generator=generator)
    x = (image / 255 + noise).view(30, 1, 28, 28)
    pixels = (train.float() / 255).double()
    delta = x.double().flatten(1).unsqueeze(1) - pixels
    expected = delta.square().sum(dim=2).amin(dim=1).sqrt()
    found = nearest_distance(x, train.to(torch.uint8).view(300, 1, 28, 28))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_the_precision_of_products_is_left_as_it_was():
    torch.set_float32_matmul_precision("medium")
    try:
        nearest_distance(torch.rand(1, 1, 1, 2), torch.zeros(2, 1, 1, 2, dtype=torch.uint8))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("block", [1, 2, 250])
def test_the_published_search_leaves_images_that_fall_to_the_correct_one(block):
    network, x = Threshold(), images([0.45], [0.42], [0.35], [0.25], [0.15])
    y = torch.zeros(5, dtype=torch.int64)
    correct = minimal_fgsm(network, network, x, y, 0.1, 1.0, block)
    torch.testing.assert_close(correct.flatten(), torch.tensor([0.55, 0.52, 0.55, 0.55, 0.55]))
    assert predict(network, correct).tolist() == [1, 1, 1, 1, 1]
    # The first two are misclassified at 0.1, the third at 0.2. Of those left, positions 1 and 2 of
    # the last three, the code makes images 1 and 2. At 0.3 it succeeds on these, and none is left.
    published = published_minimal_fgsm(network, network, x, y, 0.1, 1.0, block)
    torch.testing.assert_close(published.flatten(), torch.tensor([0.55, 0.72, 0.65, 0.45, 0.35]))
    assert predict(network, published).tolist() == [1, 1, 1, 0, 0]


def test_the_published_grid_ends_before_one():
    network, x, y = Threshold(0.97), images([0.0]), torch.tensor([0])
    assert minimal_fgsm(network, network, x, y).item() == pytest.approx(1.0)
    assert published_minimal_fgsm(network, network, x, y).item() == pytest.approx(0.95)


def test_the_judge_says_what_is_misclassified():
    # The view changes its class at 0.55, the judge a little further out.
    x, y, view = images([0.45]), torch.tensor([0]), Threshold(0.5)
    for search in (minimal_fgsm, published_minimal_fgsm):
        judge = Threshold(0.56)
        assert predict(judge, search(view, judge, x, y, 0.1, 1.0)).tolist() == [1]
        assert search(view, view, x, y, 0.1, 1.0).item() == pytest.approx(0.55)


@pytest.mark.parametrize("block", [1, 250])
def test_sensitivity_of_a_logistic_network(block):
    network, x = Threshold(0.5, gain=4.0), images([0.6], [0.3], [0.8])
    p = torch.sigmoid(4 * (x.flatten() - 0.5)).tolist()  # of class 1
    result = loss_sensitivity(network, x, torch.tensor([1, 0, 0]), block)
    assert result.loss.value == pytest.approx(4 * ((1 - p[0]) + p[1] + p[2]) / 3, rel=1e-5)
    of_prediction = [4 * q * (1 - q) for q in p]
    assert result.prediction.value == pytest.approx(statistics.mean(of_prediction), rel=1e-5)
    error = statistics.stdev(of_prediction) / 3**0.5
    assert result.prediction.error == pytest.approx(error, rel=1e-5)
    assert result.prediction.median == pytest.approx(statistics.median(of_prediction), rel=1e-5)
    assert result.n == 3


@torch.no_grad()
def least_margin(defense, x, y):
    """Of a class over all others, wherever FGSM's search goes; in float64.

    Or of the gradient over zero, whose sign is the step, where it is not zero by the weights.
    """
    exact = copy.deepcopy(defense).double()
    with torch.enable_grad():
        images = x.double().requires_grad_()
        (gradient,) = torch.autograd.grad(log_odds(exact(images), y).sum(), images)
    steps = 0.05 * torch.arange(21).view(-1, 1, 1, 1, 1)
    scores = exact((x.double() + steps * gradient.sign()).clamp(0, 1).flatten(0, 1))
    own = F.one_hot(y.repeat(21), 3).bool()
    margin = scores[own] - scores.masked_fill(own, -torch.inf).amax(dim=1)
    return min(margin.abs().min().item(), gradient[gradient != 0].abs().min().item())


def close_to(expected):
    """What `measure_robustness` promises of blocks of another size."""
    return pytest.approx(tuple(expected), rel=1e-5)


def test_a_defense_is_measured_through_each_view(data):
    defense = Standard(linear())
    defense.train()
    state = torch.get_rng_state()
    result = measure_robustness(defense, data, n=20, block=7)
    assert defense.training
    assert torch.equal(torch.get_rng_state(), state)
    assert list(result) == ["deployed", "adaptive"]
    x, y, _ = data.test_samples(0, 20)
    with isolated(defense, x.device, seed=0):
        clean = predict(defense, x)
        x_adv = minimal_fgsm(defense, defense, x, clean)
        predicted = predict(defense, x_adv)
    assert least_margin(defense, x, clean) > 1e-4  # no rounding decides a class
    minimal, misclassified = result["deployed"].minimal, predicted != clean
    assert minimal.accuracy == Rate(int((predicted == y).sum()), 20)
    assert minimal.changed == Rate(int(misclassified.sum()), 20)
    assert minimal.changed.hits > 10
    assert minimal.robustness == close_to(empirical_robustness(x, x_adv))
    expected = empirical_robustness(x[misclassified], x_adv[misclassified])
    assert minimal.robustness_changed == close_to(expected)
    expected = training_distance(x[misclassified], x_adv[misclassified], data.train_images)
    assert minimal.distance == close_to(expected)
    sensitivity, expected = result["deployed"].sensitivity, loss_sensitivity(defense, x, y)
    assert sensitivity.loss == close_to(expected.loss)
    assert sensitivity.prediction == close_to(expected.prediction)
    assert sensitivity.n == expected.n
    assert result["deployed"].published.changed.hits <= minimal.changed.hits


def test_views_that_are_one_module_are_measured_once(data):
    result = measure_robustness(Standard(linear()), data, n=5)
    module = Standard(linear())
    same = module.view("adaptive") is module
    assert (result["deployed"] is result["adaptive"]) == same


def test_masking_shows(data):
    network = linear()
    network[1].weight.data *= 500
    network[1].bias.data -= 1.7 * 500
    result = measure_robustness(Squeezed(network, temperature=500.0), data, n=24)
    assert result["deployed"].minimal.changed == Rate(0, 24)
    assert result["deployed"].sensitivity.loss.value == 0
    assert result["adaptive"].minimal.changed.hits > 12
    assert result["adaptive"].sensitivity.loss.value > 0


def test_more_images_than_there_are_is_all(data):
    for n in (None, 1000):
        result = measure_robustness(Standard(linear()), data, n=n, views=["deployed"])
        assert result["deployed"].sensitivity.n == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "`n` to be at least 1, but got 0"),
        ({"step": 0.0}, "0 < `step` <= `largest`, but got 0.0"),
        ({"step": 0.5, "largest": 0.2}, "0 < `step` <= `largest`, but got 0.5 and 0.2"),
    ],
)
def test_arguments_out_of_range(data, arguments, message):
    with pytest.raises(ConfigError, match=message):
        measure_robustness(Standard(linear()), data, **arguments)
