"""kill -9 at a random moment, then the same command again: the results are those without the kill.

A process that has imported everything forks the commands, so the moments lie in their work and not
in their imports.
"""

import csv
import json
import re
import shutil
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
import torch

from robust.results.records import read_evaluation
from tests.fuzz.world import FIT, write_inputs
from tests.fuzz.zygote import Outcome

MOMENTS = 25
"""Of the slow tests; the default ones have one."""
RUN = "runs/mlp/a"


class Command(NamedTuple):
    """A command that can be killed.

    Args:
        program: What runs.
        args: What follows it.
        before: Commands that make what it needs.
        results: What must be equal in the end, from a folder.
    """

    program: str
    args: list[str]
    before: list[tuple[str, list[str]]]
    results: object


def trained(folder):
    """Weights, everything logged, and the records of the training's test."""
    state = torch.load(folder / RUN / "checkpoints" / "last.ckpt", weights_only=True)
    return {
        "epoch": state["epoch"],
        "steps": state["global_step"],
        "weights": {key: value.tolist() for key, value in state["state_dict"].items()},
        "optimizer": str(state["optimizer_states"]),
        "metrics": metrics(folder / RUN),
        "config": re.sub(
            r"^ckpt_path: .*", "", (folder / RUN / "config.yaml").read_text(), flags=re.M
        ),
        "records": records(folder / RUN),
    }


def metrics(run):
    """Every value that was logged at every step in any session; twice only if equal."""
    values = {}
    for path in run.glob("metrics*.csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                step = row.pop("step")
                for key, value in row.items():
                    if value and not key.endswith(("seconds", "lr")):
                        values.setdefault((int(step), key), set()).add(float(value))
    assert all(len(found) == 1 for found in values.values()), values
    return values


def records(run):
    """Rows without the seconds that they took."""
    found = {}
    for path in sorted((run / "records").glob("*.csv")):
        with path.open(newline="") as file:
            found[path.name] = [{**row, "seconds": ""} for row in csv.DictReader(file)]
    assert not list((run / "records").glob("*.part*"))
    return found


def attacked(folder):
    return {"records": records(folder / RUN), "table": (folder / "table.md").read_text()}


def swept(folder):
    """Parameters, how each run ended, and what it logged; not the random ends of their ids."""
    content = json.loads((folder / "runs/toy/sweep.json").read_text())
    return [
        (run["id"][:3], run["parameters"], run["state"], metrics(folder / "runs/toy" / run["id"]))
        for run in content["runs"]
    ]


def page(folder):
    """A page without the time at which it was made."""
    text = (folder / "page.html").read_text()
    assert text.rstrip().endswith("</html>")
    return re.sub(r"<time .*?</time>", "", text)


_EVERY_STEP = "--trainer.log_every_n_steps=1"
FITTED = (
    "train.py",
    [*FIT, "--run.id=a", "--run.resume=auto", "--trainer.max_epochs=4", _EVERY_STEP],
)
EVALUATED = ("evaluate.py", [RUN, "--suite=suite.yaml", "--output=table.md"])
REPORTED = ("evaluate.py", ["--report", "runs", "-o", "page.html", "--tables", "tables"])
SWEPT = ("sweep", ["sweep.yaml", "--trust-command", "--", "--seconds=0.1"])
COMMANDS = {
    "fit": Command(*FITTED, [], trained),
    "evaluate": Command(*EVALUATED, [FITTED], attacked),
    "sweep": Command(*SWEPT, [], swept),
    "report": Command(*REPORTED, [FITTED, EVALUATED], page),
}


def done(zygote, program, args, folder) -> Outcome:
    outcome = zygote.run(program, args, folder, seconds=300)
    assert outcome.code == 0, outcome.err
    return outcome


def check_moments(zygote, tmp_path, name, moments):
    command = COMMANDS[name]
    base = tmp_path / "base"
    write_inputs(base)
    for program, args in command.before:
        done(zygote, program, args, base)
    straight = tmp_path / "straight"
    shutil.copytree(base, straight)
    seconds = done(zygote, command.program, command.args, straight).seconds
    expected = command.results(straight)
    random = Random(name)
    killed = 0
    for n in range(moments):
        folder = tmp_path / str(n)
        shutil.copytree(base, folder)
        moment = random.uniform(0, seconds)
        outcome = zygote.run(command.program, command.args, folder, kill_after=moment)
        killed += outcome.code == -9
        check_nothing_is_half(folder)
        done(zygote, command.program, command.args, folder)
        assert command.results(folder) == expected, (
            f"killed after {moment:.3f} s of {seconds:.3f} s"
        )
        shutil.rmtree(folder)
    assert killed > moments / 4, "most commands ended before they could be killed"


def check_nothing_is_half(folder: Path):
    """What stands under its final name can be read at any time."""
    for path in folder.rglob("checkpoints/*.ckpt"):
        if "toy" not in str(path):
            torch.load(path, weights_only=True)
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())
    if (folder / "page.html").exists():
        page(folder)
    for run in (folder / "runs").glob("*/*"):
        records = [path for path in run.glob("records/*.csv") if ".part" not in path.name]
        assert set(map(read_evaluation, records)) is not None


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_goes_on(zygote, tmp_path, name):
    check_moments(zygote, tmp_path, name, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_goes_on_from_any_moment(zygote, tmp_path, name):
    check_moments(zygote, tmp_path, name, MOMENTS)
