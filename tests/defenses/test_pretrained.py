"""Networks that were trained elsewhere, as defenses: their views, and training them further."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robust.defenses import Pretrained
from robust.defenses.pretrained import BeforeSoftmax
from robust.evaluation.fingerprints import model_sha256
from robust.networks.foreign import Called
from tests.support.bars import Bars, bars

SURE = 1e4


class Softmax(Bars):
    """Sure of its class, in one of the ways in which a softmax is called."""

    def __init__(self, how="module"):
        super().__init__(scale=SURE)
        self.how, self.softmax = how, nn.Softmax(dim=1)

    def forward(self, x):
        scores = super().forward(x)
        if self.how == "module":
            return self.softmax(scores)
        return F.softmax(scores, -1) if self.how == "function" else scores.softmax(dim=1)


def test_logits_are_kept_from_saturating():
    x, y = bars()
    defense = Pretrained(Bars(scale=SURE))
    view = defense.adaptive_view()
    assert defense(x).argmax(dim=1).equal(y)
    assert view(x).argmax(dim=1).equal(y)
    scores = view(x).detach()
    assert float((scores.amax(dim=1) - scores.amin(dim=1)).max()) <= 10.001


@pytest.mark.parametrize("how", ["module", "function", "method"])
def test_the_view_of_probabilities_has_a_gradient(how):
    x, y = bars()
    defense = Pretrained(Softmax(how), outputs="probabilities")
    assert defense(x).max() == 1
    view = defense.adaptive_view()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(view(x), y), x)
    assert view(x).argmax(dim=1).equal(y)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()


def test_without_a_softmax_logarithms_are_taken():
    x, _ = bars()
    network = Bars()
    by_hand = Called(lambda x: network(x).exp() / network(x).exp().sum(dim=1, keepdim=True))
    torch.testing.assert_close(BeforeSoftmax(by_hand)(x), network(x).log_softmax(dim=1))


def test_a_softmax_further_inside_is_no_output():
    x, _ = bars()
    network = nn.Sequential(Softmax(), nn.Linear(4, 4), nn.Softmax(dim=1))
    torch.testing.assert_close(BeforeSoftmax(network)(x), network[1](network[0](x)))
    halved = Called(lambda x: network(x) / 2)
    torch.testing.assert_close(BeforeSoftmax(halved)(x), (network(x) / 2).log())


@pytest.mark.parametrize("outputs", ["logits", "log_probabilities", "probabilities"])
def test_training_further_minimizes_cross_entropy(outputs):
    x, y = bars()
    bare = Bars()
    last = {"logits": nn.Identity(), "log_probabilities": nn.LogSoftmax(dim=1)}
    network = nn.Sequential(bare, last.get(outputs, nn.Softmax(dim=1)))
    defense = Pretrained(network, outputs=outputs)
    torch.testing.assert_close(defense.training_loss(x, y), F.cross_entropy(bare(x), y))


def test_a_view_of_the_callers_own():
    defense = Pretrained(Bars(), adaptive=lambda network: nn.Sequential(network, nn.Softmax(dim=1)))
    assert isinstance(defense.adaptive_view()[1], nn.Softmax)


def test_fingerprints_tell_normalizations_apart():
    prints = {
        model_sha256(Pretrained(Bars(), [mean], [std], channels=order))
        for mean, std, order in (
            (0.0, 1.0, "rgb"),
            (0.5, 1.0, "rgb"),
            (0.0, 0.5, "rgb"),
            (0.0, 1.0, "bgr"),
        )
    }
    assert len(prints) == 4
    assert model_sha256(Pretrained(Bars())) == model_sha256(Pretrained(Bars()))


def test_the_memory_order_of_weights_is_the_callers():
    layer = nn.Conv2d(3, 8, 3)
    Pretrained(nn.Sequential(layer, nn.Flatten()))
    assert layer.weight.is_contiguous()
