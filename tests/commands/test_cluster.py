"""Runs of several processes, as a scheduler or torchrun starts them: interrupted, and the same."""

import os
import shutil
import signal
import subprocess

import pytest
import torch

from robust.commands.evaluate import evaluate
from robust.commands.train import train
from robust.results.records import read_evaluation
from tests.support.cluster import alone, srun, torchrun
from tests.support.tiny import arguments

pytestmark = pytest.mark.usefixtures("quiet")
TOGETHER = 8
"""Images in a step of all processes."""
LONG = """
suite: long
threat_model: {norm: Linf, eps: 0.3}
attacks:
  square: {class_path: torchattacks.Square, init_args: {eps: 0.3, n_queries: 100}}
  pgd: {class_path: robust.attacks.PGD, init_args: {eps: 0.3, steps: 40}}
block: 3
"""


def fit(npz, runs, suite, processes, nodes=1, run_id="a", seconds=0.0):
    args = arguments(npz, runs, suite, epochs=4)
    args += [f"--data.batch_size={TOGETHER // processes}", f"--model.network.seconds={seconds}"]
    # 56 images to train on: what does not divide among the processes would be left out.
    args += ["--data.val_fraction=0.125", "--evaluation.limit=16"]
    args += [f"--run.id={run_id}", "--run.resume=auto"]
    args += [f"--trainer.devices={processes // nodes}", f"--trainer.num_nodes={nodes}"]
    return ["train.py", *args, *([] if processes == 1 else ["--trainer.strategy=ddp"])]


def state(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def check_same(folder, straight):
    """Weights and steps of two runs."""
    mine, theirs = state(folder), state(straight)
    assert mine["global_step"] == theirs["global_step"]
    torch.testing.assert_close(mine["state_dict"], theirs["state_dict"])
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["last.ckpt"]


def rows(folder):
    (path,) = (folder / "records").glob("long-*.csv")
    return [row._replace(forwards=0.0, seconds=0.0) for row in read_evaluation(path).rows]


@pytest.fixture
def long(tmp_path):
    path = tmp_path / "long.yaml"
    path.write_text(LONG)
    return path


def copied(run, tmp_path, name):
    """A trained run to attack: ``<name>/squeezed/a``."""
    folder = tmp_path / name / "squeezed" / "a"
    shutil.copytree(run, folder)
    return folder


def test_killed_and_preempted_trainings_go_on(npz, suite, tmp_path):
    folder = tmp_path / "squeezed" / "a"
    checkpoints = folder / "checkpoints"

    job = srun(fit(npz, tmp_path, suite, 2, seconds=0.1), 2, tmp_path, WANDB_MODE="offline")
    job.wait_for((checkpoints / "last.ckpt").is_file)
    job.send(signal.SIGKILL, 1)
    codes = job.finish(timeout=100).codes
    assert codes[1] == -signal.SIGKILL
    assert codes[0] not in (0, -signal.SIGKILL)  # it ended by itself
    saved = state(folder)["global_step"]

    job = srun(fit(npz, tmp_path, suite, 2, seconds=0.1), 2, tmp_path, WANDB_MODE="offline")
    job.wait_for(lambda: state(folder)["global_step"] > saved)
    job.send(signal.SIGUSR1, 1)  # one is enough
    ended = job.finish()
    assert ended.codes == [75, 0], ended.text
    assert ended.text.count("Stopped by SIGUSR1 after step") == 1

    ended = srun(fit(npz, tmp_path, suite, 2), 2, tmp_path, WANDB_MODE="offline").finish()
    assert ended.codes == [0, 0], ended.text
    assert ended.text.count("Attack success") == 1
    sessions = [path.name for path in folder.glob("wandb/offline-run-*")]
    assert len(sessions) == 3
    assert all(name.endswith("-a") for name in sessions)
    assert train(fit(npz, tmp_path, suite, 1, run_id="straight")[1:]) == 0
    check_same(folder, tmp_path / "squeezed" / "straight")


@pytest.mark.slow  # as records of two processes in test_ddp, and of a killed one in test_kill
def test_evaluation_of_two_processes_goes_on_in_one(trained, tmp_path, long):
    folder = copied(trained["squeezed"], tmp_path, "two")
    words = ["evaluate.py", str(folder), "--suite", str(long)]
    job = srun(words, 2, tmp_path, nodes=2)
    parts = [f"records/long-*.part{rank}.csv" for rank in (0, 1)]
    job.wait_for(
        lambda: [p.stat().st_size > 0 for n in parts for p in folder.glob(n)] == [True] * 2
    )
    job.send(signal.SIGTERM, 0, 1)
    ended = job.finish(timeout=60)
    assert ended.codes == [143, 0], ended.text
    assert "Stopped by SIGTERM (exit code 143). Run the same command again" in ended.text
    assert evaluate(words[1:]) == 0
    straight = copied(trained["squeezed"], tmp_path, "one")
    assert evaluate(["evaluate.py", str(straight), "--suite", str(long)][1:]) == 0
    assert rows(folder) == rows(straight)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_records_of_several_processes(trained, tmp_path, long, processes):
    one, several = (copied(trained["squeezed"], tmp_path, name) for name in ("one", "several"))
    words = ["evaluate.py", str(several), "--suite", str(long)]
    ended = srun(words, processes, tmp_path, nodes=processes).finish()
    assert ended.codes == [0] * processes, ended.text
    assert ended.text.count("Attack success") == 1
    assert evaluate([str(one), "--suite", str(long)]) == 0
    assert rows(several) == rows(one)


@pytest.mark.slow
def test_training_of_three_processes(npz, suite, tmp_path):
    words = fit(npz, tmp_path, suite, 3)
    ended = srun(words, 3, tmp_path, nodes=3)
    assert ended.finish().codes == [2, 2, 2]  # one node of three processes was asked for
    words = fit(npz, tmp_path, suite, 3, nodes=3)
    ended = srun(words, 3, tmp_path, nodes=3).finish()
    assert ended.codes == [0, 0, 0], ended.text
    checkpoint = tmp_path / "squeezed" / "a" / "checkpoints" / "last.ckpt"
    args = [*arguments(npz, tmp_path, suite, command="test"), f"--ckpt_path={checkpoint}"]
    assert train([*args, "--run.id=one", "--evaluation.limit=16"]) == 0
    records = [
        [row._replace(forwards=0.0, seconds=0.0) for row in read_evaluation(path).rows]
        for name in ("a", "one")
        for path in (tmp_path / "squeezed" / name / "records").glob("*.csv")
    ]
    assert records[0] == records[1]


@pytest.mark.slow
def test_two_nodes_of_torchrun(npz, suite, tmp_path, long):
    folder = tmp_path / "squeezed" / "a"
    words = fit(npz, tmp_path, suite, 2, nodes=2, seconds=0.2)
    job = torchrun(words, 1, tmp_path, nodes=2)
    job.wait_for((folder / "checkpoints" / "last.ckpt").is_file)
    job.send(signal.SIGTERM, 0, 1)  # torchrun hands it on, and itself ends with 1 after a failure
    ended = job.finish()
    assert 0 not in ended.codes, ended.text
    assert "Stopped by SIGTERM after step" in ended.text
    ended = torchrun(fit(npz, tmp_path, suite, 2, nodes=2), 1, tmp_path, nodes=2).finish()
    assert ended.codes == [0, 0], ended.text
    assert "Restored all states" in ended.text
    assert "sync_dist" not in ended.text  # Lightning warns of a number that is of one process
    assert train(fit(npz, tmp_path, suite, 1, run_id="straight")[1:]) == 0
    check_same(folder, tmp_path / "squeezed" / "straight")

    words = ["evaluate.py", str(folder), "--suite", str(long), "--robustness", "--limit", "12"]
    ended = torchrun(words, 1, tmp_path, nodes=2).finish()
    assert ended.codes == [0, 0], ended.text
    straight = tmp_path / "squeezed" / "straight"
    assert evaluate([str(straight), "--suite", str(long), "--limit", "12"]) == 0
    assert len(rows(folder)) == len(rows(straight)) == 12 * 2 * 2


@pytest.mark.slow
def test_torchrun_restarts_a_killed_rank(npz, suite, tmp_path):
    folder = tmp_path / "squeezed" / "a"
    words = fit(npz, tmp_path, suite, 2, seconds=0.2)
    job = torchrun(words, 2, tmp_path, options=["--max-restarts=1"])
    job.wait_for((folder / "checkpoints" / "last.ckpt").is_file)
    listed = subprocess.run(
        ["pgrep", "-P", str(job.processes[0].pid)], capture_output=True, text=True, check=True
    )
    os.kill(int(listed.stdout.split()[1]), signal.SIGKILL)
    ended = job.finish()
    assert ended.codes == [0], ended.text
    assert train(fit(npz, tmp_path, suite, 1, run_id="straight")[1:]) == 0
    check_same(folder, tmp_path / "squeezed" / "straight")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR1, 75), (signal.SIGTERM, 143)])
def test_processes_that_lightning_starts(npz, suite, tmp_path, number, code):
    folder = tmp_path / "squeezed" / "a"
    job = alone(fit(npz, tmp_path, suite, 2, seconds=0.2), tmp_path)
    job.wait_for((folder / "checkpoints" / "last.ckpt").is_file)
    job.send(number, 0)
    ended = job.finish()
    assert ended.codes == [code], ended.text
    ended = alone(fit(npz, tmp_path, suite, 2), tmp_path).finish()
    assert ended.codes == [0], ended.text
    assert train(fit(npz, tmp_path, suite, 1, run_id="straight")[1:]) == 0
    check_same(folder, tmp_path / "squeezed" / "straight")


@pytest.fixture
def two_tasks(monkeypatch):
    for name, value in {"NTASKS": "4", "NNODES": "2", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")


@pytest.mark.usefixtures("two_tasks")
def test_processes_that_nobody_uses(npz, suite, tmp_path, trained, capsys):
    args = [*arguments(npz, tmp_path, suite), "--run.id=a"]
    assert train([*args, "--trainer.devices=1"]) == 2
    message = "2 on each of 2 nodes, but got 1 on each of 1. Give --trainer.devices=2 "
    assert f"{message}--trainer.num_nodes=2." in capsys.readouterr().err
    assert evaluate([str(trained["squeezed"]), "--suite", str(suite), "--devices", "1"]) == 2
    assert "2 on each of 2 nodes, but got --devices 1. Leave it out." in capsys.readouterr().err
