"""Two processes give what one gives, and say it once."""

import csv
import re

import pytest
import torch

from robust.commands.train import train
from robust.results.records import read_evaluation
from tests.support.cluster import alone, two_processes
from tests.support.tiny import arguments

pytestmark = pytest.mark.usefixtures("quiet")
TWO = ["--trainer.devices=2", "--trainer.strategy=ddp"]


def launch(args, folder, **variables):
    """What `train.py` in two processes, of which the first starts the other, prints."""
    ended = alone(["train.py", *args, *TWO], folder, **variables).finish()
    assert ended.codes == [0], ended.text
    return ended.text


def metrics(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def rows(folder):
    (path,) = folder.glob("*.csv")
    return [row._replace(forwards=0.0, seconds=0.0) for row in read_evaluation(path).rows]


@pytest.mark.slow  # test_cluster trains on two processes, test_resume in two phases
def test_fit_of_two_phases(npz, suite, tmp_path):
    runs = tmp_path / "runs"
    args = [*arguments(npz, runs, suite, "Distillation"), "--trainer.log_every_n_steps=1"]
    text = launch(args, tmp_path, WANDB_MODE="offline")
    assert text.count("Attack success") == 1
    assert text.count("W&B records this run offline") == 1
    assert "unused" not in text
    (folder,) = (runs / "distillation").iterdir()
    assert len(list(folder.glob("wandb/offline-run-*"))) == 1
    assert [path.name for path in folder.glob("metrics*.csv")] == ["metrics.csv"]
    assert len(list(folder.glob("records/[!.]*"))) == 3  # rows, header, kept images, no parts
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2 * 2  # half of the four batches each
    assert checkpoint["state_dict"]["has_teacher"]
    losses = [row["step"] for row in metrics(folder) if row["train/loss"]]
    assert losses == ["0", "1", "2", "3"]


def test_records_do_not_depend_on_the_number_of_processes(trained, npz, suite, tmp_path):
    checkpoint = trained["squeezed"] / "checkpoints" / "last.ckpt"
    args = [*arguments(npz, tmp_path / "runs", suite, command="test"), f"--ckpt_path={checkpoint}"]
    several = ["--run.id=two", "--trainer.enable_progress_bar=true"]
    several += ["--trainer.callbacks+=tests.support.ranks.ManyLines"]
    text = two_processes([*args, *several, f"--evaluation.records={tmp_path / 'two'}"], tmp_path)
    of_first = 3 * 2 * (8 + 8)  # three attacks and two views; the blocks are of 8, 8, 8 and 6
    shown = re.findall(r"(?m)^(\w+ \(process \d of \d\)): .* of (\d+) attacks on images, 0:", text)
    assert set(shown) == {("tiny (process 1 of 2)", str(of_first))}
    assert "Test metric" not in text  # Lightning's own box
    assert text.count("Attack success") == 1
    assert len(list((tmp_path / "runs" / "squeezed").iterdir())) == 1
    assert train([*args, "--run.id=one", f"--evaluation.records={tmp_path / 'one'}"]) == 0
    assert len(rows(tmp_path / "one")) == 30 * 3 * 2
    assert rows(tmp_path / "two") == rows(tmp_path / "one")
    one, two = (metrics(tmp_path / "runs" / "squeezed" / name)[0] for name in ("one", "two"))
    assert float(two["test/clean_acc"]) == pytest.approx(float(one["test/clean_acc"]))
