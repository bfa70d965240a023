"""The benchmark `truth.py`: what it keeps, what it measures again, and what it calls missed."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from robust.defenses import Standard
from tests.support.oracles import LinearOracle
from tests.test_benchmarks_of_strength import imported


@pytest.fixture
def truth(monkeypatch):
    imported("truth_networks", monkeypatch)
    return imported("truth", monkeypatch)


@pytest.mark.parametrize(("alone", "fine"), [([2], True), ([2, 3], False)])
def test_a_peer_alone_is_told(truth, capsys, alone, fine):
    found = [
        truth.Found("strong strong", "ours", [0], 1.0, 50),
        truth.Found("quick pgd", "ours", [1], 1.0, 50),
        truth.Found("weak peer", "peer", [0], 1.0, 50),
        truth.Found("peer", "peer", [1, *alone], 1.0, 50),
    ]
    assert truth.report(truth.Images("net", "Linf", 0.2, 0, 60, 0), found) is fine
    left = 48 - len(alone)
    row = f"| net | Linf 0.2 | 50 | 49 | 48 | {49 - len(alone)} (peer) | {left} | {len(alone)} | "
    assert capsys.readouterr().out.strip() == row + "1, 2, 1 |"


@pytest.mark.parametrize(("right", "measured"), [(2, True), (1, False)])
def test_a_network_that_learnt_little_is_left_out(truth, tmp_path, monkeypatch, right, measured):
    defense = Standard(LinearOracle()).eval()
    x, y = defense.network.samples(4)
    y[right:] = 1 - y[right:]
    data = SimpleNamespace(test_samples=lambda first, last: (x, y, None))
    run = SimpleNamespace(defense=defense, data=data)
    monkeypatch.setattr(truth, "trained", lambda *_: run)
    found = truth.Found("strong strong", "ours", [], 1.0, right)
    monkeypatch.setattr(truth, "measure", lambda *_: [found])
    monkeypatch.setattr(truth, "names", lambda: ["net"])
    monkeypatch.setattr(truth, "usual_eps", lambda *_: 0.1)
    arguments = ["truth.py", "--kept", str(tmp_path), "--images", "4", "--norm", "L2"]
    monkeypatch.setattr("sys.argv", arguments)
    assert truth.main() == (0 if measured else 1)
    assert (tmp_path / "truth.csv").exists() is measured


def test_a_stop_loses_nothing(truth, tmp_path, monkeypatch):
    defense = Standard(LinearOracle()).eval()
    x, y = defense.network.samples(4)
    these = truth.Images("net", "Linf", 1.1 * defense.network.budget("Linf"), 0, 4, 0)
    monkeypatch.setattr(truth, "theirs", lambda *_: [("peer", "peer", lambda _, x, y: x)])
    file = tmp_path / "truth.csv"
    notes = truth.Notes(file)
    first = next(truth.measure(defense, x, y, these, {}))
    assert (first.attack, first.images, first.right) == ("strong strong", [0, 1, 2, 3], 4)
    notes.add(these, first)
    # Nothing is left to the other attacks of ours, and the first one is not run again.
    known = truth.Notes(file).known[these]
    assert [found.attack for found in known.values()] == ["strong strong"]
    assert [f.attack for f in truth.measure(defense, x, y, these, known)] == ["peer"]
    assert list(truth.measure(defense, x, y, these, known, ["another peer"])) == []
    # What is measured again takes the place of what was known.
    notes.add(these, first._replace(images=[1]))
    assert truth.Notes(file).known[these]["strong strong, ours"].images == [1]


def test_ours_get_what_those_before_them_left(truth, monkeypatch):
    defense = Standard(LinearOracle()).eval()
    x, y = defense.network.samples(4)
    these = truth.Images("net", "Linf", 1.1 * defense.network.budget("Linf"), 0, 4, 0)
    seen = []

    def finds(rows):
        def run(_, x, y):
            seen.append(len(x))
            moved = x.clone()
            for row in rows:
                moved[row] += (
                    these.eps * (1 - 2 * y[row]) * defense.network.w.detach().view(1, 5, 5)
                )
            return moved

        return run

    monkeypatch.setattr(truth, "ours", lambda *_: [("a", finds([1])), ("b", finds([1]))])
    monkeypatch.setattr(
        truth,
        "theirs",
        lambda *_: [("peer", "peer", finds([3])), ("rest", "peer on the rest", finds([]))],
    )
    found = list(truth.measure(defense, x, y, these, {}))
    assert [f.images for f in found] == [[1], [2], [3], []]
    assert seen == [4, 3, 4, 2]


def test_every_defense_has_a_recipe(truth):
    names = truth.names()
    assert {*truth.trained.__globals__["ORDER"]} <= {*names}
    for name in names:
        for norm in truth.SUITES:
            assert 0 < truth.usual_eps(name, norm) <= 1.5


def test_the_small_network_has_the_activation_that_is_asked_for(monkeypatch):
    networks = imported("truth_networks", monkeypatch)
    network = networks.SmallCNN(7, nn.Tanh)
    assert network(torch.rand(2, 1, 28, 28)).shape == (2, 7)
    assert sum(isinstance(layer, nn.Tanh) for layer in network) == 3
