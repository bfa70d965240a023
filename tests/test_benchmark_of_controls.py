"""The benchmark of controls says which rule does not hold; it trains and attacks nothing here."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from robust.results.rates import Rate
from robust.results.verdict import WORDS, Verdict

FOLDER = Path(__file__).parents[1] / "benchmarks"
ACCUSED = ("near chance", "masked", "overstated", "suspect", "unverified")


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        spec = importlib.util.spec_from_file_location("benchmark_controls", FOLDER / "controls.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module
        sys.modules.pop("control_networks")


def judged(benchmark, word, *, hides, left=0.5):
    rate, score = Rate(50, 100), Rate(60, 60)
    return benchmark.Judged("a", hides, "quick", rate, left, score, Verdict(word, "why"), 1.0)


@pytest.mark.parametrize("word", WORDS)
def test_a_sound_network_may_not_be_accused(benchmark, word):
    faults = list(judged(benchmark, word, hides=False).faults())
    assert len(faults) == (word in ACCUSED)
    assert all(fault.startswith("a under quick hides nothing") for fault in faults)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("left", "is_hidden"), [(0.44, True), (0.46, False)])
def test_nothing_may_be_hidden_that_no_sign_shows(benchmark, word, left, is_hidden):
    faults = list(judged(benchmark, word, hides=True, left=left).faults())
    assert len(faults) == (word == "no masking seen" and is_hidden)


class Serial:
    """A pool without processes."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    map = staticmethod(map)


@pytest.mark.parametrize("word", ["suspect", "no masking seen"])
def test_each_rule_that_does_not_hold_has_a_line(benchmark, word, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benchmark, "ProcessPoolExecutor", Serial)
    found = lambda name, **_: [judged(benchmark, word, hides=False)]  # noqa: E731
    monkeypatch.setattr(benchmark, "all_suites", found)
    out = tmp_path / "table.md"
    code = benchmark.main(["--only", "plain", "TRADES 0.1", "-o", str(out)])
    lines = capsys.readouterr().out.splitlines()
    if word == "suspect":
        assert code == 1
        assert lines[-2:] == ["a under quick hides nothing, but the verdict is suspect: why"] * 2
    else:
        assert (code, lines[-1]) == (0, "All rules hold.")
    assert out.read_text().count(word) >= 2


def test_all_names_are_known(benchmark):
    names = benchmark.controls(Path("nowhere"))
    assert {"WNLL", "plain", "PGD-trained 0.05", "PGD-trained 0.1", "TRADES 0.1"} <= set(names)
    assert not any("Wong" in name for name in names)


def test_the_strongest_attack_climbs_the_logits(benchmark):
    networks = sys.modules["control_networks"]
    torch.manual_seed(0)
    network = networks.dense()
    control = networks.Control(networks.Shaped(network, networks.one_hot), True, network)
    data = benchmark.robust.ImageDataModule("digits")
    data.setup("test")
    x, y, _ = data.test_samples(0, 20)
    clean = (network(x).argmax(dim=1) == y).float().mean().item()
    assert benchmark.strongest(control, data, 20) < clean
