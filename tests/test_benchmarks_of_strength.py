"""The benchmark `strong.py`: what it notes, and what it calls missed."""

import importlib
import sys
from pathlib import Path

import torch

from robust.attacks import PGD
from tests.support.oracles import LinearOracle

FOLDER = Path(__file__).parents[1] / "benchmarks"
NEVER = float("inf")


def imported(name, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    for module in (name, "attacks", "peers", "strong_networks"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return importlib.import_module(name)


def test_the_clock_notes_images_within_eps_alone(monkeypatch):
    strong = imported("strong", monkeypatch)
    oracle = LinearOracle(3)
    x, y = oracle.samples(4)
    # They are nearest to themselves only if they differ enough.
    x[:, 0, -1, -1] = torch.linspace(0, 1, 4)
    eps = 1.1 * oracle.budget("Linf")
    chosen = strong.Case("oracle", oracle, eps, x, y)
    far = strong.Clock(chosen)
    far(1 - x)
    assert far.found.isinf().all()
    measured = strong.measure(
        "pgd", lambda network, case: PGD(network, eps, steps=5)(case.x, case.y), chosen
    )
    assert measured.left == 0
    assert 0 <= max(measured.found) <= measured.cpu


def test_the_table_counts_what_was_missed(monkeypatch, capsys):
    strong = imported("strong", monkeypatch)
    measured = [
        strong.Measured("net", strong.AUTO, [1.0, 2.0, NEVER], 10.0, 500.0),
        strong.Measured("net", "strong", [0.1, NEVER, 0.2], 1.0, 50.0),
    ]
    strong.report(measured)
    rows = capsys.readouterr().out.splitlines()[2:]
    assert rows[0] == f"| net | {strong.AUTO} | 3 | 1 | 0 | 10.00 | 1.000 | 500 |"
    assert rows[1] == "| net | strong | 3 | 1 | 1 | 1.00 | 0.100 | 50 |"
    assert len(strong.plotted(measured).axes) == 1


def test_a_pass_of_each_library_is_counted_where_nothing_is_found(monkeypatch, capsys):
    resisting = imported("resisting", monkeypatch)
    oracle = LinearOracle(3)
    x, y = oracle.samples(4)
    chosen = importlib.import_module("strong_networks").Case(
        "oracle", oracle, 0.5 * oracle.budget("Linf"), x, y
    )
    monkeypatch.setattr(resisting, "case", lambda *_: chosen)
    monkeypatch.setattr(resisting, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(sys, "argv", ["resisting.py", "--rounds=1"])
    code = resisting.main()
    table = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()[2:-2]]
    passes = {(row[1], row[2]): int(row[6]) for row in rows}
    assert passes["Passes alone", "ours"] == passes["PGD-20", "torchattacks"] == 20
    assert passes["PGD-20", "ours"] == 20
    assert 100 <= passes["APGD-100", "ours"] <= 102
    assert code == ("missed: none" not in table)
