"""Read-outs separate by the largest margin, and the right one answers."""

import pytest
import torch
from torch import nn

from robust.measures.unit_test.readouts import (
    Chooser,
    ReadOuts,
    fitted,
    logits_line,
    replaced,
)
from robust.threat import ThreatModel


def clouds(n=3, m=40, f=5):
    random = torch.Generator().manual_seed(0)
    inside = torch.rand(n, m, f, generator=random)
    return inside, inside.amax(dim=1) + 0.3 * torch.rand(n, f, generator=random)


def test_the_margin_is_the_largest():
    """As of an oracle: a support vector machine that allows no error."""
    svm = pytest.importorskip("sklearn.svm")
    inside, edge = clouds()
    found = fitted(inside, edge, torch.tensor(1.0))
    for i in range(len(inside)):
        x = torch.cat([inside[i], edge[i : i + 1]]).numpy()
        y = [0] * len(inside[i]) + [1]
        oracle = torch.tensor(svm.SVC(kernel="linear", C=1e6).fit(x, y).coef_[0]).float()
        cosine = torch.cosine_similarity(found.weight[i], oracle, dim=0)
        assert cosine > 0.99


def test_the_edge_point_alone_is_above_zero_by_a_hundredth_of_the_gap():
    inside, edge = clouds()
    size = torch.tensor(7.0)
    found = fitted(inside, edge, size)
    said = torch.einsum("nmf,nf->nm", inside, found.weight) - found.bias[:, None]
    at_edge = (edge * found.weight).sum(dim=1) - found.bias
    assert (said < 0).all()
    torch.testing.assert_close(said[:, 0], torch.full_like(said[:, 0], -7.0))
    gap = at_edge - said.amax(dim=1)
    torch.testing.assert_close(at_edge / gap, torch.full_like(gap, 0.01), rtol=1e-2, atol=0)


def test_what_cannot_be_separated_is_not():
    inside, _ = clouds()
    found = fitted(inside, inside.mean(dim=1), torch.tensor(1.0))
    said = torch.einsum("nmf,nf->nm", inside, found.weight) - found.bias[:, None]
    at_edge = (inside.mean(dim=1) * found.weight).sum(dim=1) - found.bias
    assert not ((said < 0).all(dim=1) & (at_edge > 0)).any()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_each_point_is_of_the_nearest_image(norm):
    x = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    chooser = Chooser(x, ThreatModel(norm, 0.1))
    order = torch.tensor([2, 0, 0, 3])
    chooser.look((x[order] + 0.01).clamp(0, 1))
    assert chooser.image.tolist() == order.tolist()


def test_other_classes_stay_below_both():
    line = logits_line(5, torch.device("cpu"))
    outputs = line.outputs(torch.tensor([-3.0, 0.5]))
    assert outputs.tolist() == [[3, -3, -4, -4, -4], [-0.5, 0.5, -1.5, -1.5, -1.5]]
    assert line.step == 1


def test_a_layer_answers_again_as_it_did():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    x = torch.rand(2, 1, 2, 2)
    before = network(x)
    readouts = ReadOuts(torch.ones(2, 4), torch.tensor([0.0, 100.0]))
    line = logits_line(3, x.device)
    with replaced(network[1], readouts, Chooser(x, ThreatModel("Linf", 0.1)), line, [network]):
        during = network(x)
    assert during.argmax(dim=1).tolist() == [1, 0]
    assert torch.equal(network(x), before)


def test_what_a_view_hands_on_to_a_view_inside_is_not_looked_at():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    inverted = nn.Sequential(inversion := Inverted(), network)
    x = torch.tensor([0.1, 0.9]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    readouts = ReadOuts(torch.zeros(2, 4), torch.tensor([1.0, -1.0]))
    chooser = Chooser(x, ThreatModel("Linf", 0.1))
    line = logits_line(3, x.device)
    with replaced(network[1], readouts, chooser, line, [inverted, network]):
        assert inverted(x).argmax(dim=1).tolist() == [0, 1]
        assert network(x[1:]).argmax(dim=1).tolist() == [1]
        inversion.fails = True
        with pytest.raises(ZeroDivisionError):
            inverted(x)
        inversion.fails = False
        assert inverted(x).argmax(dim=1).tolist() == [0, 1]


class Inverted(nn.Module):
    """It hands on the negative, or fails."""

    fails = False

    def forward(self, x):
        if self.fails:
            raise ZeroDivisionError
        return 1 - x


def test_what_stays_in_its_place_is_of_its_image():
    """Also where another one is as near."""
    x = torch.zeros(2, 1, 1, 1)
    chooser = Chooser(x, ThreatModel("Linf", 0.1))
    chooser.look(x + 0.05)
    assert chooser.image.tolist() == [0, 1]
