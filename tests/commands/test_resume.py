"""A training that is killed goes on where its checkpoint is, in the same folder."""

import csv
import signal

import pytest
import torch

from robust.commands.train import train
from tests.support.cluster import alone
from tests.support.tiny import NO_ATTACKS, arguments

pytestmark = pytest.mark.usefixtures("quiet")
EPOCHS, BATCHES = 8, 4


def read(checkpoint):
    return torch.load(checkpoint, weights_only=True)


def start_and_kill(args, checkpoint, after_epochs):
    """Start `train.py`, and kill it with SIGKILL once that many epochs are saved."""
    job = alone(["train.py", *args], checkpoint.parents[4], WANDB_MODE="disabled")
    job.wait_for(
        lambda: checkpoint.is_file() and read(checkpoint)["epoch"] + 1 >= after_epochs,
    )
    job.send(signal.SIGKILL, 0)
    assert job.finish().codes == [-signal.SIGKILL]


def train_losses(folder):
    losses = {}
    for path in folder.glob("metrics*.csv"):
        with path.open() as file:
            for row in csv.DictReader(file):
                if row.get("train/loss"):
                    losses[int(row["step"])] = float(row["train/loss"])
    return losses


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("defense", "options"),
    [("Squeezed", []), ("Distillation", ["--model.teacher_epochs=5"])],
)
def test_resume_after_kill(npz, suite, tmp_path, defense, options):
    runs = tmp_path / "runs"
    args = arguments(npz, runs, suite, defense, epochs=EPOCHS)
    args += [*options, "--trainer.log_every_n_steps=1", NO_ATTACKS]
    folder = runs / defense.lower() / "a"
    checkpoint = folder / "checkpoints" / "last.ckpt"
    slow = ["--run.id=a", "--model.network.seconds=0.1"]
    start_and_kill([*args, *slow], checkpoint, after_epochs=2)
    saved = read(checkpoint)["global_step"]
    assert BATCHES * 2 <= saved < BATCHES * EPOCHS
    before = train_losses(folder)

    assert train([*args, f"--ckpt_path={checkpoint}"]) == 0
    assert [path.name for path in folder.parent.iterdir()] == ["a"]
    resumed = read(checkpoint)
    assert resumed["global_step"] == BATCHES * EPOCHS
    after = train_losses(folder)
    assert before.items() <= after.items()
    assert set(range(saved, BATCHES * EPOCHS)) <= set(after)

    assert train([*args, "--run.id=uninterrupted"]) == 0
    straight = read(folder.parent / "uninterrupted" / "checkpoints" / "last.ckpt")
    assert straight["global_step"] == resumed["global_step"]
    torch.testing.assert_close(resumed["state_dict"], straight["state_dict"])


def test_resume_around_the_handover(npz, suite, tmp_path):
    """Teacher of three epochs: stopped at its last, and after the student's first."""
    runs = tmp_path / "runs"
    args = arguments(npz, runs, suite, "Distillation", epochs=6)
    args += ["--model.teacher_epochs=3", NO_ATTACKS]
    folder = runs / "distillation"
    assert train([*args, "--run.id=straight"]) == 0
    straight = read(folder / "straight" / "checkpoints" / "last.ckpt")["state_dict"]
    for stopped_after in (3, 4):
        # A run of fewer epochs is one stopped early: no scheduler looks at their number.
        early = [*args, f"--run.id={stopped_after}", "--trainer.max_epochs=4"]
        early += [f"--trainer.max_steps={stopped_after * BATCHES}"]
        assert train(early) == 0
        checkpoint = folder / str(stopped_after) / "checkpoints" / "last.ckpt"
        assert read(checkpoint)["global_step"] == stopped_after * BATCHES
        assert train([*args, f"--ckpt_path={checkpoint}"]) == 0
        resumed = read(checkpoint)["state_dict"]
        assert resumed["has_teacher"]
        torch.testing.assert_close(resumed, straight)
