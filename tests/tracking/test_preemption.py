"""A signal ends a command in good order, and the same command goes on where it was."""

import csv
import os
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from robust.commands.train import train
from robust.tracking import Preemption
from tests.support.tiny import NO_ATTACKS, arguments

pytestmark = pytest.mark.usefixtures("quiet")
BATCHES = 4


@pytest.mark.parametrize(
    ("flags", "said"), [([], "--run.id=b --run.resume=auto"), (["--id={}"], "--id=b")]
)
def test_how_to_go_on(flags, said):
    assert Preemption(Path("runs/a/b"), *flags)._how_to_go_on().endswith(f", with {said}")


class Told(Callback):
    """Sends a signal to this process in the middle of a step, counted from 1 over all epochs."""

    def __init__(self, batch: int, number: str = "SIGUSR1") -> None:
        self.batch = batch
        self.number = number

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        self._tell(trainer)

    def on_test_batch_end(self, trainer, *_):
        self._tell(trainer)

    def _tell(self, trainer):
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batch:
            self.batch = -1
            os.kill(os.getpid(), getattr(signal, self.number))


def told(batch, number="SIGUSR1"):
    init_args = f"{{batch: {batch}, number: {number}}}"
    told = "tests.tracking.test_preemption.Told"
    return f"--trainer.callbacks={{class_path: {told}, init_args: {init_args}}}"


def end(args):
    """Exit code of the command; SystemExit is what ends it after a signal."""
    try:
        return train(args)
    except SystemExit as error:
        return error.code


def state(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def steps_logged(folder):
    steps = []
    for path in folder.glob("metrics*.csv"):
        with path.open() as file:
            steps += [int(row["step"]) for row in csv.DictReader(file) if row.get("train/loss")]
    return sorted(steps)


@pytest.fixture(scope="module")
def straight(npz, suite, tmp_path_factory):
    """The folder of a training that nothing stops; each is done once."""
    root, done = tmp_path_factory.mktemp("straight"), {}

    def folder(defense, options):
        key = (defense, *options)
        if key not in done:
            args = [*arguments(npz, root, suite, defense, epochs=3), *options, NO_ATTACKS]
            name = str(len(done))
            assert end([*args, "--trainer.log_every_n_steps=1", f"--run.id={name}"]) == 0
            done[key] = root / defense.lower() / name
        return done[key]

    return folder


def test_what_a_stopped_training_leaves_is_tested_once(npz, suite, tmp_path):
    args = [*arguments(npz, tmp_path, suite, epochs=3), "--run.resume=auto", "--run.id=a"]
    assert end([*args, told(6)]) == 75
    assert not (tmp_path / "squeezed" / "a" / "records").exists()
    assert end(args) == 0
    records = (tmp_path / "squeezed" / "a" / "records").iterdir()
    names = [path for path in records if path.name != ".lock"]
    assert sorted(path.suffix for path in names) == [".csv", ".json", ".kept", ".png"]


@pytest.mark.parametrize(
    ("defense", "batch", "options"),
    [
        pytest.param("Squeezed", 1, [], marks=pytest.mark.slow),
        pytest.param("Squeezed", 6, [], marks=pytest.mark.slow),
        ("Squeezed", BATCHES, []),  # the last of an epoch
        pytest.param("Squeezed", 3 * BATCHES, [], marks=pytest.mark.slow),  # the last of all
        pytest.param(
            "Squeezed", 5, ["--trainer.accumulate_grad_batches=2"], marks=pytest.mark.slow
        ),
        # Epochs of one batch.
        pytest.param("Squeezed", 2, ["--data.batch_size=64"], marks=pytest.mark.slow),
        pytest.param("Squeezed", 6, ["--trainer.val_check_interval=2"], marks=pytest.mark.slow),
        ("Distillation", 2 * BATCHES, ["--model.teacher_epochs=2"]),  # the handover
    ],
)
def test_a_training_goes_on(npz, suite, straight, tmp_path, defense, batch, options):
    args = [*arguments(npz, tmp_path, suite, defense, epochs=3), *options, NO_ATTACKS]
    args += ["--trainer.log_every_n_steps=1", "--run.resume=auto"]
    folder, other = tmp_path / defense.lower() / "a", straight(defense, options)
    assert end([*args, "--run.id=a", told(batch)]) == 75
    assert end([*args, "--run.id=a"]) == 0
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["last.ckpt"]
    resumed, expected = state(folder), state(other)
    assert resumed["global_step"] == expected["global_step"]
    torch.testing.assert_close(resumed["state_dict"], expected["state_dict"])
    torch.testing.assert_close(resumed["optimizer_states"], expected["optimizer_states"])
    assert steps_logged(folder) == steps_logged(other)


def test_what_it_says(npz, suite, tmp_path, capsys, monkeypatch):
    args = [*arguments(npz, tmp_path, suite, epochs=3), "--run.id=a"]
    assert end([*args, told(6)]) == 75
    message = "Stopped by SIGUSR1 after step 6 (exit code 75). Run the same command again to go on"
    assert f"{message}, with --run.id=a --run.resume=auto." in capsys.readouterr().err
    assert end([*args, told(6, "SIGTERM")]) == 143
    assert "Stopped by SIGTERM after step 6 (exit code 143)." in capsys.readouterr().err
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")  # hyperband gives the run up
    assert end([*args, told(6, "SIGTERM")]) == 0
    assert end([*args, told(6)]) == 75


def test_a_test_ends_at_once(trained, npz, suite, tmp_path, capsys):
    checkpoint = trained["squeezed"] / "checkpoints" / "last.ckpt"
    args = [*arguments(npz, tmp_path, suite, command="test"), f"--ckpt_path={checkpoint}"]
    args += ["--run.id=a", told(0)]
    assert end(args) == 75
    assert "Stopped by SIGUSR1 (exit code 75)." in capsys.readouterr().err
    assert not (tmp_path / "squeezed" / "a" / "records").exists()


def test_handlers_are_put_back(npz, suite, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)]
    assert end([*arguments(npz, tmp_path, suite), told(3)]) == 75
    assert [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)] == before


def test_resume_needs_an_id(npz, suite, tmp_path, capsys, monkeypatch):
    args = [*arguments(npz, tmp_path, suite), "--run.resume=auto", NO_ATTACKS]
    assert end(args) == 2
    assert "Expected an id of the run to resume, but got none." in capsys.readouterr().err
    monkeypatch.setenv("WANDB_RUN_ID", "given")  # as an agent of a sweep does
    assert end([*args, told(3)]) == 75
    assert end(args) == 0
    assert [path.name for path in (tmp_path / "squeezed").iterdir()] == ["given"]


def test_a_run_that_began_from_another_goes_on_from_its_own(npz, suite, tmp_path):
    args = [*arguments(npz, tmp_path, suite), NO_ATTACKS, "--run.resume=auto"]
    first = tmp_path / "squeezed" / "a" / "checkpoints" / "last.ckpt"
    assert end([*args, "--run.id=a"]) == 0
    args += ["--run.id=b", f"--ckpt_path={first}", "--trainer.max_epochs=4"]
    args += ["--trainer.log_every_n_steps=1"]
    assert end([*args, told(9)]) == 75
    assert end(args) == 0
    folder = tmp_path / "squeezed" / "b"
    assert [path.name for path in folder.glob("checkpoints*")] == ["checkpoints"]
    assert sorted(steps_logged(folder)) == list(range(8, 16))
    assert state(folder)["global_step"] == 16
