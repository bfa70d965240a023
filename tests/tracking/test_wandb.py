"""What the real wandb client and this project do with a server, on a stand-in of it."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import wandb
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel
from PIL import Image

import robust.tracking.tracker
from robust.checkpoints import read_checkpoint
from robust.commands.evaluate import evaluate
from robust.commands.train import train
from robust.errors import ConfigError
from robust.loading.trained_run import TrainedRun
from robust.tracking import (
    AtomicCheckpoints,
    Run,
    fetch_run,
    log_adversarial_table,
    log_figures,
    log_run,
    log_table,
    loggers,
)
from robust.tracking.overview.summary import SUMMARY_LIMIT
from tests.commands.test_resume import start_and_kill
from tests.support.tiny import ROOT, arguments
from tests.support.wandb_server import KEY, Server, forget_wandb

pytestmark = [
    # The toy data of Lightning's demo is loaded in one process on purpose.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # The client leaves its sockets to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server, and a machine on which somebody logged in to it."""
    forget_wandb(monkeypatch)
    for key in ("WANDB_DATA_DIR", "ROBUST_RUN_ID"):
        monkeypatch.setenv(key, "")  # so that what the code sets is undone
        monkeypatch.delenv(key)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with Server(tmp_path / "server") as server:
        for key, value in server.environment.items():
            monkeypatch.setenv(key, value)
        yield server
        server.fault = None
        wandb.finish()
        wandb.teardown()


class Model(BoringModel):
    """Logs its loss; calls ``meanwhile`` before its second epoch."""

    def __init__(self, meanwhile=lambda: None):
        super().__init__()
        self.meanwhile = meanwhile

    def on_train_epoch_start(self):
        if self.current_epoch == 1:
            self.meanwhile()

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss["loss"])
        return loss


def fit(run, meanwhile=lambda: None, trackers=None):
    trainer = Trainer(
        max_epochs=3,
        limit_train_batches=2,
        limit_val_batches=1,
        logger=trackers or loggers(run),
        log_every_n_steps=1,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=AtomicCheckpoints(),
    )
    trainer.fit(Model(meanwhile), datamodule=BoringDataModule())
    return trainer


def run_of(name="toy", **kwargs):
    return Run(name=name, project="p", **kwargs).settled("unused")


def wandb_command(*words, **kwargs):
    """The client's command line, and what it printed."""
    command = [sys.executable, "-m", "wandb", *words]
    result = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=120, **kwargs
    )
    return result.stdout + result.stderr


def test_login(server):
    assert wandb.login(key=KEY, host=server.url, verify=True)
    assert "Viewer" in server.state.operations


def test_run_with_media_and_tables(server, tmp_path):
    run = run_of(id="a", group="g", tags=["t"])
    trainer = fit(run)
    Image.new("L", (4, 4)).save(tmp_path / "curve.png")
    log_figures(trainer.loggers, {"curve": tmp_path / "curve.png"})
    log_table(trainer.loggers, "norms", ["layer", "norm"], [("a", 2.0)])
    x, y = torch.zeros(1, 1, 2, 2), torch.tensor([0])
    log_adversarial_table(trainer.loggers, "adaptive", "pgd", x, x, y, y, y)
    trainer.loggers[1].finalize("success")
    wandb.finish()
    seen = server.run("a")
    assert (seen["state"], seen["group"], seen["tags"]) == ("finished", "g", ["t"])
    assert len([row for row in seen["history"] if "loss" in row]) == 6
    (image,) = (file for file in seen["files"] if file.startswith("media/images/curve"))
    assert (server.state.folder / seen["files"][image]).is_file()
    tables = [file for file in seen["files"] if file.startswith("media/table/")]
    assert [file.rpartition("_")[0][:-2] for file in sorted(tables)] == [
        "media/table/norms",
        "media/table/test/examples",
    ]
    content = json.loads((server.state.folder / seen["files"][min(tables)]).read_text())
    assert content["data"] == [["a", 2.0]]

    read = wandb.Api().run("local/p/a")
    assert (read.state, read.group) == ("finished", "g")
    assert read.summary["epoch"] == 2
    losses = [row["loss"] for row in read.scan_history(keys=["loss"])]
    assert losses == [row["loss"] for row in seen["history"] if "loss" in row]
    assert [r.id for r in wandb.Api().runs("local/p", filters={"group": "g"})] == ["a"]
    assert len(wandb.Api().runs("local/p", filters={"group": "other"})) == 0


@pytest.fixture
def finished(trained, tmp_path):
    """A run that train.py ended, in a folder of its own."""
    folder = tmp_path / "runs" / "squeezed" / "a"
    shutil.copytree(trained["squeezed"], folder)
    return Run(name="squeezed", id="a", project="p", root=str(tmp_path / "runs"))


def digests(folder):
    """Files of a run that an artifact holds, by what they contain."""
    patterns = ("*.yaml", "*.csv", "checkpoints/*", "records/[!.]*")
    files = (file for pattern in patterns for file in folder.glob(pattern))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_run_goes_to_the_server_and_comes_back(server, finished, monkeypatch):
    expected = digests(finished.folder)
    assert {"config.yaml", "checkpoints/last.ckpt"} < expected.keys()
    log_run(loggers(finished), finished)
    wandb.finish()
    folder = fetch_run("local/p/a")
    got = digests(folder)
    # `loggers` sets the metrics of the training aside, as for any later session.
    assert got.pop("metrics.1.csv") == expected.pop("metrics.csv")
    assert got == expected
    trained_run = TrainedRun.load(Path("wandb:local/p/a"))
    assert trained_run.name == "squeezed/a"
    server.state.operations.clear()
    assert fetch_run("local/p/squeezed-a:v0") == folder
    assert "GetArtifactMembershipFileUrls" not in server.state.operations


def test_evaluate_a_run_on_the_server(server, finished, suite, capsys, monkeypatch):
    log_run(loggers(finished), finished)
    wandb.finish()
    shutil.rmtree(finished.folder)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert evaluate(["wandb:local/p/a", "--suite", str(suite), "--limit=8"]) == 0
    assert "squeezed/a" in capsys.readouterr().out


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("local/p/missing", "Expected a run at wandb:local/p/missing"),
        ("nonsense:", "Expected a run at wandb:nonsense:"),
        ("local/p/bare", "no|none"),
    ],
)
def test_run_that_the_server_does_not_have(server, name, message):
    wandb.init(project="p", id="bare").finish()
    with pytest.raises(ConfigError, match=message):
        fetch_run(name)


def test_fetching_without_a_key(server, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY")
    wandb.teardown()
    with pytest.raises(ConfigError, match="wandb login"):
        fetch_run("local/p/a")


def test_offline_run_is_uploaded_later(server, finished, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    trainer_loggers = loggers(finished)
    trainer_loggers[1].log_metrics({"x": 0.5}, step=0)
    log_table(trainer_loggers, "norms", ["layer", "norm"], [("a", 2.0)])
    log_run(trainer_loggers, finished)
    wandb.finish()
    assert server.state.operations == []
    expected = digests(finished.folder)
    shutil.rmtree(finished.folder / "checkpoints")  # it kept a copy
    (offline,) = (finished.folder / "wandb").glob("offline-run-*")
    monkeypatch.delenv("WANDB_MODE")
    wandb.teardown()
    wandb_command("sync", str(offline))
    seen = server.run("a")
    assert seen["history"][0]["x"] == 0.5
    assert any(file.startswith("media/table/norms") for file in seen["files"])
    assert digests(fetch_run("local/p/a")) == expected


@pytest.mark.slow
def test_sessions_of_a_killed_training_are_uploaded_as_one_run(
    server, npz, suite, tmp_path, monkeypatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    args = [*arguments(npz, tmp_path, suite, epochs=8), "--run.id=a", "--run.resume=auto"]
    args += ["--trainer.log_every_n_steps=1", "--evaluation.limit=8"]
    folder = tmp_path / "squeezed" / "a"
    # Slow enough for the client to write before the end: it does so every five seconds.
    slow = [*args, "--model.network.seconds=0.5"]
    start_and_kill(slow, folder / "checkpoints" / "last.ckpt", after_epochs=4)
    (killed,) = (folder / "wandb").glob("offline-run-*")
    assert train(args) == 0
    wandb.finish()
    (other,) = {*(folder / "wandb").glob("offline-run-*")} - {killed}
    monkeypatch.delenv("WANDB_MODE")
    wandb.teardown()
    wandb_command("sync", str(killed))
    assert len([row for row in server.run("a")["history"] if "train/loss" in row]) > 4
    wandb_command("sync", str(other))
    assert [name for _, name in server.state.runs] == ["a"]
    seen = server.run("a")["history"]
    losses = [row for row in seen if "train/loss" in row]
    assert max(row["epoch"] for row in losses) == 7
    assert any("test/clean_acc" in row for row in seen)


# Within seconds, and with the timeouts that users have.
PATIENCE = [1, pytest.param(None, marks=pytest.mark.slow)]


def have_patience(monkeypatch, timeout, seconds):
    """Set a timeout of the tracker, unless the product's own is to be seen."""
    if seconds is not None:
        monkeypatch.setattr(robust.tracking.tracker, timeout, float(seconds))


@pytest.mark.parametrize("patience", PATIENCE)
@pytest.mark.parametrize("fault", ["500", pytest.param("hang", marks=pytest.mark.slow)])
def test_server_that_goes_away_costs_no_training(server, fault, patience, monkeypatch, capfd):
    have_patience(monkeypatch, "_FINISH_TIMEOUT", patience and 3 * patience)
    run = run_of(id="a")
    trainer = fit(run, meanwhile=lambda: setattr(server, "fault", fault))
    assert trainer.global_step == 6
    began = time.monotonic()
    wandb.finish()
    assert time.monotonic() - began < (15 if patience else 30)

    assert "wandb sync" in capfd.readouterr().err
    (checkpoint,) = (run.folder / "checkpoints").iterdir()
    assert read_checkpoint(checkpoint)["global_step"] == 6
    server.fault = None
    (kept,) = (run.folder / "wandb").glob("run-*")
    wandb_command("sync", "--no-skip-online", str(kept))
    assert len([row for row in server.run("a")["history"] if "loss" in row]) == 6


@pytest.mark.parametrize("patience", PATIENCE)
def test_server_that_hangs_from_the_start(server, patience, monkeypatch, capfd):
    have_patience(monkeypatch, "_INIT_TIMEOUT", patience)
    server.fault = "hang"
    run = run_of(id="a")
    trackers = loggers(run)
    began = time.monotonic()
    assert trackers[1].experiment.offline  # which asks the server in vain; training does not wait
    assert time.monotonic() - began < 30
    assert fit(run, trackers=trackers).global_step == 6
    assert "records this run offline" in capfd.readouterr().err
    assert len(list((run.folder / "wandb").glob("offline-run-*"))) == 1


def test_full_disk_ends_the_training_with_what_it_has(
    quiet, npz, suite, tmp_path, monkeypatch, capfd
):
    args = [*arguments(npz, tmp_path, suite, epochs=3), "--run.id=a", "--evaluation.attacks=null"]
    replace = Path.replace

    def full(path, target):
        if Path(target).name == "last.ckpt" and Path(target).exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        assert train(args) == 2
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert len(error) == 1
    assert "No space left on device" in error[0]
    assert "--run.resume=auto" in error[0]
    folder = tmp_path / "squeezed" / "a" / "checkpoints"
    assert [file.name for file in folder.iterdir()] == ["last.ckpt"]
    assert read_checkpoint(folder / "last.ckpt")["epoch"] == 0
    assert train([*args, "--run.resume=auto"]) == 0
    assert read_checkpoint(folder / "last.ckpt")["epoch"] == 2


def test_artifact_for_which_there_is_no_room(server, finished, monkeypatch, capfd):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wandb.Artifact, "add_file", full)
    log_run(loggers(finished), finished)
    assert "no artifact of this run: [Errno 28] No space left" in capfd.readouterr().err


AGENT_TOY = """
import sys, time, wandb
flags = dict(word.removeprefix("--").split("=") for word in sys.argv[1:])
with wandb.init(settings=wandb.Settings(x_file_stream_transmit_interval=0.5)) as run:
    for epoch in range(int(flags.get("epochs", 2))):
        run.log({"acc": float(flags["a.x"]) * (epoch + 1)})
        time.sleep(float(flags.get("seconds", 0)))
"""


def sweep_of(tmp_path, **changed):
    """The id of a new sweep of a program of some lines."""
    (tmp_path / "toy.py").write_text(AGENT_TOY)
    content = {
        "program": "toy.py",
        "method": "grid",
        "metric": {"name": "acc", "goal": "maximize"},
        "parameters": {"a.x": {"values": [0.1, 0.4, 0.3, 0.2]}},
        **changed,
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    said = wandb_command("sweep", "--project", "p", "sweep.yaml", cwd=tmp_path)
    return re.search(r"wandb agent (\S+)", said)[1]


def agents(count, sweep, tmp_path):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "wandb", "agent", sweep]
    started = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(count)
    ]
    return [process.wait(timeout=600) for process in started]


@pytest.mark.slow
def test_two_agents_share_a_sweep(server, tmp_path):
    sweep = sweep_of(tmp_path)
    assert agents(2, sweep, tmp_path) == [0, 0]
    seen = list(server.state.runs.values())
    assert sorted(run["config"]["a.x"]["value"] for run in seen) == [0.1, 0.2, 0.3, 0.4]
    assert {run["state"] for run in seen} == {"finished"}
    read = wandb.Api().sweep(sweep)
    assert len(read.runs) == 4
    assert max(run.summary["acc"] for run in read.runs) == 0.8


@pytest.mark.slow
def test_hyperband_stops_a_run(server, tmp_path):
    sweep = sweep_of(
        tmp_path,
        parameters={
            "a.x": {"values": [0.9, 0.1]},
            "epochs": {"value": 10},
            "seconds": {"value": 2},
        },
        early_terminate={"type": "hyperband", "min_iter": 2, "eta": 3, "strict": True},
    )
    assert agents(1, sweep, tmp_path) == [0]
    by_x = {run["config"]["a.x"]["value"]: run for run in server.state.runs.values()}
    assert len(by_x[0.9]["history"]) == 10
    assert len(by_x[0.1]["history"]) < 10


@pytest.mark.slow
def test_agent_trains_with_a_sweep_of_ours(server, npz, suite, tmp_path):
    content = yaml.safe_load((ROOT / "sweeps" / "temperature.yaml").read_text())
    command = [*arguments(npz, tmp_path / "runs", suite)[1:], "--run.register=tiny"]
    content |= {"program": str(ROOT / "train.py"), "method": "grid"}
    content["parameters"] = {"model.init_args.temperature": {"values": [1, 20]}}
    content["metric"]["name"] = "val/clean_acc"
    content["command"] = ["${env}", "${interpreter}", "${program}", "fit", *command, "${args}"]
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        said = wandb_command("sweep", "--project", "p", "sweep.yaml", cwd=tmp_path)
        sweep = re.search(r"wandb agent (\S+)", said)[1]
        assert agents(1, sweep, tmp_path) == [0]
    finally:
        del os.environ["PYTHONPATH"]
    runs = sorted(server.state.runs.values(), key=lambda run: run["displayName"])
    assert [run["displayName"].split()[:2] for run in runs] == [
        ["squeezed", "T=1"],
        ["squeezed", "T=20"],
    ]
    for run in runs:
        assert (run["state"], run["jobType"]) == ("finished", "train")
        assert run["displayName"] == f"{run['group']} s0"
        assert (tmp_path / "runs" / "squeezed" / run["name"]).is_dir()
        assert len(run["summary"]) <= SUMMARY_LIMIT
        assert run["summary"]["verdict"] in run["tags"]
        assert {"test/all", "test/clean_acc", "val/clean_acc"} <= run["summary"].keys()
        assert not any(key.startswith("test/success/") for key in run["summary"])
        assert any("test/success/adaptive/fgsm" in row for row in run["history"])
    links = server.state.links["wandb-registry-model", "tiny"]
    assert [link for link in links if "best" in link["aliases"]][-1:]
    assert len(links) == 2
