"""The benchmark of attacks says which target is missed; it measures nothing here."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """The module, with one case in bfloat16 on a tiny network: a target that nothing can meet."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("benchmark_attacks", FOLDER / "attacks.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    unchanged = lambda network, x, y: x  # noqa: E731
    case = module.Case("PGD bfloat16", (4, 4), -1.0, unchanged, {"peer": unchanged}, bfloat16=True)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 10))
    images = torch.rand(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64)
    monkeypatch.setattr(module, "cases", lambda eps: [case])
    monkeypatch.setattr(module, "network_and_images", lambda options: (network, *images))
    monkeypatch.setattr(module, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(sys, "argv", ["attacks.py"])
    yield module
    sys.modules.pop("peers", None)


@pytest.mark.parametrize("native", [True, False])
def test_an_emulated_row_misses_no_target(benchmark, monkeypatch, capsys, native):
    monkeypatch.setattr(benchmark, "bfloat16_is_native", lambda device: native)
    code = benchmark.main()
    table = capsys.readouterr().out
    rows = [line for line in table.splitlines() if line.startswith("| PGD bfloat16")]
    assert {row.count("|") for row in rows} == {len(benchmark._COLUMNS) + 1}
    if native:
        assert code == 1
        assert len(rows) == 2
        assert table.endswith("missed: PGD bfloat16\n")
    else:
        assert code == 0
        assert re.match(r"\| PGD bfloat16 \| not comparable: emulated here \|", rows[0])
        assert table.endswith("missed: none\n")
