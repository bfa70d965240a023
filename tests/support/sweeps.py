"""A sweep of the toy in the current folder, and what it leaves there."""

import json
from pathlib import Path

import yaml

from robust.commands.sweep import sweep
from tests.support.tiny import ROOT

TOY = str(ROOT / "tests" / "support" / "sweep_toy.py")
GRID = {
    "program": TOY,
    "name": "toy",
    "method": "grid",
    "metric": {"name": "val/clean_acc", "goal": "maximize"},
    "parameters": {"x": {"values": [0.1, 0.3, 0.2]}},
}


def run(content, *args):
    Path("toy.yaml").write_text(yaml.safe_dump(content))
    # The toy is no program of ours.
    return sweep(["toy.yaml", "--trust-command", *args])


def runs():
    return json.loads(Path("runs/toy/sweep.json").read_text())["runs"]


def states():
    return [run["state"] for run in runs()]


def starts():
    """How often each run was started."""
    files = sorted(Path("runs/toy").glob("*/starts.txt"))
    return [len(file.read_text().splitlines()) for file in files]
