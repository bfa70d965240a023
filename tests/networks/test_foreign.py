"""Networks of other people: what they take and return, their modes, precision and batches."""

import pytest
import torch

from robust.errors import ConfigError
from robust.networks.foreign import Called, Foreign, find_batch_size, name_of, per_channel
from robust.networks.outputs import outputs_of
from tests.support.bars import Bars, bars
from tests.support.programs import traced


class Named:
    """What Hugging Face returns."""

    def __init__(self, logits):
        self.logits = logits


class OfFour(Bars):
    """Takes four images, neither more nor fewer."""

    def forward(self, x):
        return super().forward(x.reshape(4, 1, 8, 8))


class Modeless(Bars):
    """As a program that `torch.export` has made."""

    def train(self, mode=True):
        raise NotImplementedError


def test_it_normalizes_first():
    x, _ = bars(channels=2)
    network = Bars(channels=2)
    expected = network((x - torch.tensor([0.1, 0.2]).view(2, 1, 1)) / 0.5)
    torch.testing.assert_close(Foreign(network, [0.1, 0.2], [0.5, 0.5])(x), expected)
    torch.testing.assert_close(Foreign(network, channels="bgr")(x), network(x.flip(1)))


def test_any_callable_and_named_logits():
    x, y = bars()
    network = Bars()
    for foreign in (Foreign(Called(network)), Foreign(Called(lambda x: Named(network(x))))):
        assert foreign(x).argmax(dim=1).equal(y)
        assert foreign.eval().training is False
    assert name_of(Foreign(network)) == "Bars"


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_images_have_the_precision_of_the_weights(precision):
    x, y = bars()
    scores = Foreign(Bars().to(precision))(x)
    assert scores.dtype == torch.float32
    assert scores.argmax(dim=1).equal(y)


def test_contiguous_images_reach_the_network():
    x, _ = bars(channels=3)
    as_bytes_are = x.to(memory_format=torch.channels_last)
    Foreign(Called(lambda x: x.view(len(x), -1)[:, :4]))(as_bytes_are)


def test_a_network_without_modes_gets_none():
    foreign = Foreign(Modeless())
    assert foreign.eval().network.training is False
    assert foreign.train().network.training is True


def test_batches_of_one_size_are_found_and_filled():
    x, y = bars(count=10)
    fixed, free = Foreign(OfFour()), Foreign(Bars())
    for foreign in (fixed, free):
        find_batch_size(foreign, (1, 8, 8))
    assert (fixed.batch_size, free.batch_size) == (4, None)
    assert fixed(x).argmax(dim=1).equal(y)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(fixed(x).sum(), x)
    (expected,) = torch.autograd.grad(free(x).sum(), x)
    torch.testing.assert_close(gradient, expected)


def test_a_network_that_takes_nothing_stays_as_it_is():
    foreign = Foreign(Called(lambda x: 1 / 0))
    find_batch_size(foreign, (1, 8, 8))
    assert foreign.batch_size is None


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_code_of_programs_counts():
    class Halved(Bars):
        def forward(self, x):
            return self.layers(x) / 2

    one, other = (traced(kind(), torch.rand(1, 1, 8, 8)) for kind in (Bars, Halved))
    assert Foreign(one).program != Foreign(other).program
    assert Foreign(one).program == Foreign(one).program
    assert Foreign(Bars()).program is None


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1, 2], "each of the 3 channels of the images, but got 1, 2"),
        ("a", "numbers as `mean`"),
        ([], "got none"),
    ],
)
def test_numbers_that_do_not_fit(numbers, message):
    with pytest.raises(ConfigError, match=message):
        per_channel(numbers, 3, "mean")


def test_numbers_for_each_channel():
    assert per_channel(0.5, 3, "mean") == [0.5] * 3
    assert per_channel(torch.tensor([0.25, 0.5]).view(2, 1, 1), 2, "std") == [0.25, 0.5]
    assert per_channel(None, 3, "std") is None
    with pytest.raises(ConfigError, match="both"):
        Foreign(Bars(), mean=[0.5])


@pytest.mark.parametrize("scale", [1, 1000])
def test_outputs_are_found(scale):
    logits = scale * torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    assert outputs_of(logits) == "logits"
    assert outputs_of(logits.softmax(dim=1)) == "probabilities"
    assert outputs_of(logits.softmax(dim=1).half().float()) == "probabilities"
    assert outputs_of(logits.log_softmax(dim=1)) == "log_probabilities"
    assert outputs_of(logits.softmax(dim=1).log()) == "log_probabilities"
    assert outputs_of(logits.log_softmax(dim=1) + 1e-6) == "log_probabilities"
    assert outputs_of(logits.sigmoid()) == "logits"
    assert outputs_of(torch.full((2, 3), torch.nan)) == "logits"
