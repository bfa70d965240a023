"""Where a run is recorded, with and without W&B's server, and what a checkpoint says of itself."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
import wandb
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

import robust.tracking
from robust.checkpoints import DESCRIPTION
from robust.errors import ConfigError
from robust.io.labels import Label
from robust.tracking import (
    Run,
    SaveRunConfig,
    Tracker,
    log_adversarial_table,
    log_figures,
    log_table,
    loggers,
)
from tests.support.wandb_server import forget_wandb

pytestmark = [
    # The toy data of Lightning's demo is loaded in one process on purpose.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # Lightning 2.6.6 still makes a class that torch 2.15 deprecates (lightning _pytree.py).
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    # Lightning 2.6.6 calls `add_instantiator`, which jsonargparse 4.53 deprecates.
    pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"),
]
KEY = "a" * 40


class Model(BoringModel):
    """Types that YAML has no word for."""

    def __init__(self, widths: tuple[int, int] = (1, 2), file: Path | None = None) -> None:
        super().__init__()

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss["loss"])
        return loss


@pytest.fixture(autouse=True)
def newcomer(tmp_path, monkeypatch):
    """A machine on which nobody has used W&B, in an empty working directory."""
    forget_wandb(monkeypatch)
    for key in (
        "WANDB_DATA_DIR",
        "ROBUST_RUN_ID",
        "RANK",
        "LOCAL_RANK",
        "NODE_RANK",
        "SLURM_PROCID",
    ):
        monkeypatch.setenv(key, "")  # so that what the code sets is undone
        monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.chdir(tmp_path)
    yield
    wandb.finish()  # `teardown` leaves a dead `wandb.run` behind
    wandb.teardown()


def run_of(name="toy", **kwargs):
    return Run(name=name, **kwargs).settled("unused")


def fit(run, **kwargs):
    trainer = Trainer(
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=1,
        logger=loggers(run),
        log_every_n_steps=1,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        **kwargs,
    )
    trainer.fit(Model(), datamodule=BoringDataModule())
    return trainer


def offline_runs(run):
    return sorted(path.name for path in (run.folder / "wandb").glob("offline-run-*"))


def test_new_id_is_a_time_and_is_exported():
    run = Run().settled("squeezed")
    assert run.name == "squeezed"
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", run.id)
    assert run.folder == Path("runs/squeezed") / run.id
    assert os.environ["ROBUST_RUN_ID"] == run.id


def test_explicit_name_and_id_win(monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "from-wandb")
    assert Run().settled("x").id == "from-wandb"
    run = Run(name="mine", id="given").settled("x")
    assert (run.name, run.id) == ("mine", "given")
    assert os.environ["ROBUST_RUN_ID"] == "given"


def test_second_run_of_a_process_gets_its_own_id(monkeypatch):
    first = Run().settled("x")
    assert Run().settled("x").id != first.id
    monkeypatch.setenv("LOCAL_RANK", "0")  # Lightning's launcher leaves it in the first process
    monkeypatch.setenv("ROBUST_RUN_ID", first.id)
    assert Run().settled("x").id != first.id


@pytest.mark.parametrize("rank", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_other_processes_share_the_id_of_the_first(monkeypatch, rank):
    run = Run().settled("x")
    monkeypatch.setenv(rank, "1")
    assert Run().settled("x") == run
    assert Run(id="given").settled("x").id == "given"


def test_other_process_without_a_common_id_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ConfigError, match=r"all processes of this run share.*--run\.id"):
        Run().settled("x")


def test_only_the_first_process_touches_the_disk(monkeypatch):
    run = run_of(id="a")
    monkeypatch.setenv("LOCAL_RANK", "1")
    run.prepare()
    assert not run.folder.exists()


@pytest.mark.parametrize("field", ["name", "id", "project"])
@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "../up", "a\\b", " a"])
def test_what_cannot_be_a_folder_is_refused(field, value):
    with pytest.raises(ConfigError, match=rf"Expected `run\.{field}`.*--run\.{field}"):
        Run(**{field: value})


def test_id_from_the_environment_is_checked_too(monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "../elsewhere")
    for run in (Run(), Run(id="a")):  # W&B looks at the variable in both cases
        with pytest.raises(ConfigError, match=r"WANDB_RUN_ID.*elsewhere"):
            run.settled("x")


@pytest.mark.parametrize("run_id", list(":;,#?'"))
def test_ids_that_wandb_forbids_are_refused(run_id):
    with pytest.raises(ConfigError, match=r"run\.id"):
        Run(id=f"a{run_id}b")


def test_run_of_a_checkpoint(tmp_path):
    run = run_of(id="7", root="deep/runs")
    path = run.folder / "checkpoints" / "last.ckpt"
    assert Run.from_checkpoint(path) == Run(name="toy", id="7", root="deep/runs")
    assert Run.from_checkpoint(tmp_path / path) == Run(name="toy", id="7", root="deep/runs")
    elsewhere = Run.from_checkpoint("/data/runs/toy/7/checkpoints/last.ckpt")
    assert elsewhere.folder == Path("/data/runs/toy/7")


def test_run_of_a_checkpoint_named_from_within(tmp_path, monkeypatch):
    (tmp_path / "runs" / "toy" / "7").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "runs" / "toy" / "7")
    run = Run.from_checkpoint("checkpoints/last.ckpt")
    assert run.folder.resolve() == tmp_path / "runs" / "toy" / "7"


@pytest.mark.parametrize(
    "path",
    [
        "last",
        "model.ckpt",
        "/checkpoints/x.ckpt",
        "/7/checkpoints/x.ckpt",
        "runs/toy/7/x.ckpt",
        "runs/toy/7/checkpoints/config.yaml",
        "runs/toy/a:b/checkpoints/x.ckpt",
    ],
)
def test_other_paths_are_no_run(path):
    assert Run.from_checkpoint(path) is None


@pytest.mark.parametrize("blocked", ["runs", "runs/toy", "runs/toy/7"])
def test_folder_that_cannot_be_made(tmp_path, blocked):
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).touch()
    with pytest.raises(ConfigError, match=r"runs/toy/7 \(.+\): choose another with --run\.root"):
        run_of(id="7").prepare()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(tmp_path):
    (tmp_path / "runs").mkdir(mode=0o500)
    with pytest.raises(ConfigError, match=r"Permission denied.*--run\.root"):
        run_of().prepare()


def test_folder_that_exists_but_cannot_be_written(monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ConfigError, match=r"Permission denied.*--run\.root"):
        run_of().prepare()


# A resume goes on in the folder of the checkpoint on purpose.
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_resume_keeps_every_earlier_metrics_file():
    run = run_of(id="7")
    for _ in range(3):
        fit(run)
    tables = [run.folder / name for name in ("metrics.csv", "metrics.1.csv", "metrics.2.csv")]
    texts = [path.read_text() for path in tables]
    assert len(set(texts)) == 3
    assert [text.count("\n") for text in texts] == [3, 3, 3]


def test_newcomer_without_a_key_records_offline(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    run = run_of(group="g", tags=["t"])
    trainer = fit(run)
    wandb.finish()
    (offline,) = offline_runs(run)
    assert trainer.checkpoint_callback.dirpath == str(run.folder / "checkpoints")
    assert {path.name for path in run.folder.iterdir()} == {"checkpoints", "metrics.csv", "wandb"}
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "home"}
    said = [line for line in capfd.readouterr().err.splitlines() if re.search("wandb|W&B", line)]
    assert said == [
        "W&B records this run offline (no key; `wandb login` sets one).",
        f"Upload: wandb sync {run.folder}/wandb/{offline}",
    ]


def test_tracker_passes_the_run_on():
    run = run_of(id="7", project="p", group="g", tags=["t"])
    run.prepare()
    begun = Tracker(run, "quick", Label("toy T=20 s0", "toy T=20")).experiment
    assert (begun.name, begun.project, begun.group) == ("toy T=20 s0: quick", "p", "g")
    assert (begun.tags, begun.job_type) == (("t",), "evaluate-quick")
    # Beside the training, whose run keeps its own numbers.
    assert begun.id == "7-evaluate-quick"
    assert begun.settings.x_transaction_log_flush_interval == 5


def test_wandb_gets_no_setting_that_it_warns_of(monkeypatch):
    given, init = {}, wandb.init

    def record(**settings):
        given.update(settings)
        return init(**settings)

    monkeypatch.setattr(wandb, "init", record)
    run = run_of()
    run.prepare()
    _ = Tracker(run).experiment
    assert given["mode"] == "offline"
    assert "anonymous" not in given


def test_two_runs_of_a_process_are_two_runs_in_wandb():
    first, second = run_of(), run_of()
    fit(first)
    fit(second)
    assert wandb.run.id == second.id
    assert (len(offline_runs(first)), len(offline_runs(second))) == (1, 1)


def test_wandb_mode_wins(monkeypatch, capfd):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = run_of()
    fit(run)
    assert len(offline_runs(run)) == 1
    assert "mode is offline" in capfd.readouterr().err


def test_disabled_wandb_writes_nothing(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run = run_of()
    fit(run)
    assert not (run.folder / "wandb").exists()
    assert (run.folder / "metrics.csv").exists()


def test_online_without_a_key_goes_on_offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    run = run_of()
    fit(run)
    assert len(offline_runs(run)) == 1


def test_malformed_key_goes_on_offline(monkeypatch, capfd):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    run = run_of()
    fit(run)
    assert len(offline_runs(run)) == 1
    assert "API key must have" in capfd.readouterr().err


def test_server_out_of_reach_goes_on_offline(monkeypatch, capfd):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(robust.tracking.tracker, "_INIT_TIMEOUT", 1.0)
    run = run_of()
    trainer = fit(run)
    assert trainer.global_step == 2
    assert len(offline_runs(run)) == 1
    assert re.search(r"run offline \(no answer.*\nUpload: wandb sync", capfd.readouterr().err)


class _Refuse(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'{"errors": [{"message": "user is not logged in"}]}'
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


def test_key_that_the_server_refuses_goes_on_offline(monkeypatch, capfd):
    server = HTTPServer(("127.0.0.1", 0), _Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    run = run_of()
    try:
        fit(run)
    finally:
        wandb.finish()
        server.shutdown()
        server.server_close()
    assert len(offline_runs(run)) == 1
    assert "offline (no answer, or not with this key" in capfd.readouterr().err


def test_a_tag_that_is_too_long_is_refused_before_a_run():
    with pytest.raises(ConfigError, match=r"at most 64 characters in each of `run\.tags`"):
        run_of(tags=["x" * 100])


def test_what_wandb_refuses_in_every_mode_is_the_users_to_fix(monkeypatch):
    monkeypatch.setattr("robust.tracking.run._LONGEST_TAG", 100)
    run = run_of(tags=["x" * 100])
    run.prepare()
    with pytest.raises(ConfigError, match=r"Expected a run that W&B accepts"):
        _ = Tracker(run).experiment


def test_checkpoints_are_not_uploaded():
    assert Tracker(run_of())._log_model is False


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("channels", [1, 3, 2])
def test_examples_are_shown_in_wandb(channels):
    run = run_of()
    targets = loggers(run)
    x = torch.full((3, channels, 4, 4), 0.5)
    x_adv = x.clone()
    x_adv[0, :, 0, 0] = 0.6
    x_adv[0, :, 1, 1] = 0.45
    y = torch.tensor([0, 1, 2])
    log_adversarial_table(targets, "adaptive", "pgd", x[:1], x_adv[:1], y[:1], y[:1], 2 - y[:1])
    log_adversarial_table(
        targets, "deployed", "pgd", x[1:2], x_adv[1:2], y[1:2], y[1:2], 2 - y[1:2]
    )
    targets[1].finalize("success")
    wandb.finish()
    staged = {
        hashlib.sha256(file.read_bytes()).hexdigest(): file
        for file in (run.folder / "wandb" / "artifacts" / "staging").iterdir()
    }
    (table,) = {
        text
        for text in (file.read_bytes() for file in staged.values())
        if text.startswith(b'{"_type": "table"')
    }
    table = json.loads(table)
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    keys = ("view", "label", "clean prediction", "adversarial prediction", "amplified")
    assert [[row[key] for key in keys] for row in rows] == [
        ["adaptive", 0, 0, 2, 5.0],
        ["deployed", 1, 1, 1, 1.0],
    ]
    clean, changed, difference = (
        Image.open(staged[rows[0][key]["sha256"]]).convert("L")
        for key in ("clean", "adversarial", "difference")
    )
    assert clean.getextrema() == (128, 128)
    assert [changed.getpixel(place) for place in ((0, 0), (1, 1), (2, 2))] == [153, 115, 128]
    assert [difference.getpixel(place) for place in ((0, 0), (1, 1), (2, 2))] == [255, 64, 128]


def test_figures_are_shown_in_wandb(tmp_path):
    run = run_of()
    Image.new("L", (4, 4)).save(tmp_path / "curve.png")
    log_figures(loggers(run), {"curves/pgd": tmp_path / "curve.png"})
    wandb.finish()
    (image,) = run.folder.glob("wandb/offline-run-*/files/media/images/curves/*.png")
    assert image.name.startswith("pgd")


def test_tables_are_shown_in_wandb():
    run = run_of()
    log_table(loggers(run), "norms", ["layer", "norm"], [("a", 2.0), ("b", 0.5)])
    wandb.finish()
    (file,) = run.folder.glob("wandb/offline-run-*/files/media/table/norms_*.json")
    table = json.loads(file.read_text())
    assert table["columns"] == ["layer", "norm"]
    assert table["data"] == [["a", 2.0], ["b", 0.5]]


def test_other_loggers_are_left_alone(tmp_path):
    csv = CSVLogger(tmp_path, name="a", version="b")
    x, y = torch.zeros(1, 1, 2, 2), torch.tensor([0])
    log_adversarial_table([csv], "deployed", "pgd", x, x, y, y, y)
    log_figures([csv], {"a": "missing.png"})
    log_table([csv], "norms", ["layer"], [["a"]])
    assert not (tmp_path / "a").exists()


class Toys(LightningCLI):
    """A command line like ours: the trainer's loggers are chosen in code."""

    def __init__(self, args, run=None):
        self.loggers = loggers(run) if run else False
        super().__init__(
            BoringModel,
            BoringDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveRunConfig,
            seed_everything_default=0,
            args=args,
        )

    def instantiate_trainer(self, **kwargs):
        return super().instantiate_trainer(logger=self.loggers, **kwargs)


ARGS = [
    f"--model={__name__}.Model",
    "--model.widths=[3,4]",
    "--model.file=weights.pt",
    "--data=lightning.pytorch.demos.boring_classes.BoringDataModule",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=1",
    "--trainer.limit_val_batches=1",
    "--trainer.limit_test_batches=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.accelerator=cpu",
    "--trainer.log_every_n_steps=1",
]


def as_dict(config):
    if isinstance(config, Namespace | dict):
        items = config.as_dict() if isinstance(config, Namespace) else config
        return {key: as_dict(value) for key, value in items.items() if key != "config"}
    return config


def test_config_file_makes_the_same_config_again():
    run = run_of()
    first = Toys(["fit", *ARGS], run)
    file = run.folder / "config.yaml"
    assert yaml.safe_load(file.read_text())["trainer"].get("min_epochs", "left out") is None
    second = Toys(["fit", "--config", str(file), "--trainer.fast_dev_run=true"], run_of())
    second.config.fit.trainer.fast_dev_run = False
    assert as_dict(second.config.fit) == as_dict(first.config.fit)
    assert first.config.fit.model.init_args.widths == (3, 4)


def test_complete_config_reaches_wandb():
    run = run_of()
    Toys(["fit", *ARGS], run)
    config = dict(wandb.run.config)
    assert config["model"]["init_args"] == {"widths": [3, 4], "file": "weights.pt"}
    assert config["trainer"]["max_epochs"] == 1
    assert config["seed_everything"] == 0
    assert not (run.folder / "hparams.yaml").exists()


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_later_commands_keep_the_config_of_fit():
    run = run_of()
    Toys(["fit", *ARGS], run)
    fitted = (run.folder / "config.yaml").read_text()
    Toys(["fit", *ARGS], run)
    assert not (run.folder / "config.1.yaml").exists()
    Toys(["fit", *ARGS, "--trainer.max_epochs=2"], run)
    assert (run.folder / "config.1.yaml").read_text() == fitted
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["trainer"]["max_epochs"] == 2
    Toys(["test", *ARGS], run)
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["trainer"]["max_epochs"] == 2
    assert (run.folder / "config.test.yaml").exists()


def test_without_loggers_no_config_is_written(tmp_path):
    Toys(["fit", *ARGS, "--trainer.enable_checkpointing=false"])
    assert not list(tmp_path.rglob("*.yaml"))


def test_checkpoint_describes_itself_in_plain_values():
    run = run_of()
    Toys(["fit", *ARGS], run)
    (file,) = (run.folder / "checkpoints").glob("*.ckpt")
    description = torch.load(file, weights_only=True)[DESCRIPTION]
    assert description["model"] == {
        "class_path": f"{__name__}.Model",
        "init_args": {"widths": [3, 4], "file": "weights.pt"},
    }
    assert description["data"]["class_path"].endswith("BoringDataModule")
    assert description["version"]


@pytest.mark.slow
def test_two_processes_make_one_run(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "from lightning.pytorch import Trainer\n"
        "from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel\n"
        "from robust.tracking import Run, loggers\n"
        "trainer = Trainer(max_epochs=1, limit_train_batches=2, limit_val_batches=1, devices=2,\n"
        "    accelerator='cpu', strategy='ddp', logger=loggers(Run().settled('ddp')),\n"
        "    enable_progress_bar=False)\n"
        "trainer.fit(BoringModel(), datamodule=BoringDataModule())\n"
    )
    subprocess.run([sys.executable, script], check=True, timeout=300)
    (folder,) = (tmp_path / "runs" / "ddp").iterdir()
    assert len(list(folder.glob("wandb/offline-run-*"))) == 1
    assert len(list(folder.glob("checkpoints/*.ckpt"))) == 1
