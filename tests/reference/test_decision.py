"""The decision-based attacks against foolbox 3, at equal numbers of queries; skipped without it."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from robust.attacks import craft, sample_seeds
from robust.attacks.query.boundary import BoundaryAttack
from robust.attacks.query.hop_skip_jump import HopSkipJump
from robust.networks import TunaMnistCNN
from robust.threat import distance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    foolbox = pytest.importorskip("foolbox")

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]
# With 8 the medians differ by 5 % from noise alone.
SAMPLES = 24


@pytest.fixture(scope="module")
def problem():
    """A network after two epochs on the embedded digits, and images that noise can change."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    digits = load_digits()
    x = F.interpolate(torch.tensor(digits.images / 16).float().unsqueeze(1), size=28)
    y = torch.tensor(digits.target).long()
    model = TunaMnistCNN(dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(2):
        for batch in torch.randperm(1600).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    model.eval().requires_grad_(False)
    x, y = x[1600:], y[1600:]
    predicted = model(x).argmax(dim=1)
    # foolbox raises for images whose class all noise is of.
    noise = model(torch.rand(20, 1, 28, 28)).argmax(dim=1).mode().values
    usable = ((predicted == y) & (y != noise)).nonzero().flatten()[:SAMPLES]
    assert (predicted == y).float().mean() > 0.85
    yield model, x[usable], y[usable]
    torch.set_num_threads(threads)


def foolboxes(attack, model, x, y, norm):
    """Median distance and queries per image."""
    seen = []
    handle = model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    torch.manual_seed(0)
    criterion = foolbox.criteria.Misclassification(y)
    x_adv = attack.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, criterion)
    handle.remove()
    assert (model(x_adv).argmax(dim=1) != y).all()
    return distance(x, x_adv, norm).median().item(), sum(seen) / len(x)


def ours(attack, model, x, y, norm):
    """Median distance and queries per image."""
    crafted = craft(attack, model, x, y, sample_seeds=sample_seeds(0, torch.arange(len(x))))
    assert (model(crafted.x_adv).argmax(dim=1) != y).all()
    return distance(x, crafted.x_adv, norm).median().item(), crafted.forwards


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_hop_skip_jump(problem, norm):
    attack = foolbox.attacks.HopSkipJumpAttack(steps=6, constraint=norm.lower())
    theirs, their_queries = foolboxes(attack, *problem, norm)
    median, queries = ours(lambda m: HopSkipJump(m, norm, iterations=6), *problem, norm)
    print(f"HopSkipJump {norm}: {median:.4f} after {queries:.0f} queries; ", end="")
    print(f"foolbox {theirs:.4f} after {their_queries:.0f}")
    assert queries <= their_queries
    assert median <= 1.02 * theirs


def test_boundary(problem):
    attack = foolbox.attacks.BoundaryAttack(steps=1000)
    theirs, their_queries = foolboxes(attack, *problem, "L2")
    # One candidate an iteration, so that iterations count queries; foolbox blends at 50 levels.
    median, queries = ours(
        lambda m: BoundaryAttack(m, iterations=910, directions=1, blend_levels=50), *problem, "L2"
    )
    print(f"Boundary: {median:.4f} after {queries:.0f}; ", end="")
    print(f"foolbox {theirs:.4f} after {their_queries:.0f}")
    assert queries <= their_queries
    assert median <= 1.02 * theirs
