"""The benchmark of evidence says which bound does not hold, and its clocks run."""

import importlib.util
import sys
from pathlib import Path

import pytest

import robust

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        spec = importlib.util.spec_from_file_location("benchmark_evidence", FOLDER / "evidence.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module
        sys.modules.pop("control_networks")


@pytest.mark.parametrize(
    ("attacks", "evidence", "records", "faults"),
    [
        (10.0, 19.0, 0.1, []),  # 20 s are always allowed
        (10.0, 21.0, 0.1, ["evidence may take 20.0 s, but took 21.0 s"]),
        (0.4, 19.0, 0.05, ["records may take 0.0 s"]),
        (300.0, 29.0, 5.0, []),
        (300.0, 31.0, 7.0, ["evidence may take 30.0 s, but took 31.0 s", "records may take 6.0 s"]),
    ],
)
def test_a_bound_that_does_not_hold_is_named(benchmark, attacks, evidence, records, faults):
    found = list(benchmark.Split("a", "quick", 100, attacks, evidence, records, 0.1).faults())
    assert len(found) == len(faults)
    assert all(fault in line for fault, line in zip(faults, found, strict=True))


def test_each_part_is_clocked(benchmark):
    network = robust.MLP()
    control = benchmark.Control(network, False, network)
    found = benchmark.split("a", control, "quick", 4)
    assert min(found.attacks, found.evidence, found.records, found.kept) > 0
    assert found.cells()[:3] == ["a", "quick", "4"]
