"""Folders of runs that are damaged or hostile: each is named, and costs the others nothing."""

import csv
import os
import socket
import time

import pytest
from matplotlib.figure import Figure

from robust.commands.evaluate import evaluate
from robust.errors import ConfigError
from robust.figures.figure_files import save_figure
from robust.report.page import render
from robust.results.metrics_csv import read_metrics, read_sessions
from robust.results.run_folder import Reader
from robust.tracking import Run, loggers
from robust.tracking.metrics import MetricsFile
from tests.support.tiny import ROOT

pytestmark = pytest.mark.usefixtures("quiet")
METRICS = "epoch,step,train/loss,val/clean_acc\n0,9,1.5,\n0,9,,0.625\n"


@pytest.fixture
def good(tmp_path):
    folder = tmp_path / "runs" / "good" / "a"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("trainer: {max_epochs: 3}\n")
    (folder / "metrics.csv").write_text(METRICS)
    return folder


@pytest.fixture
def bad(tmp_path):
    folder = tmp_path / "runs" / "bad" / "a"
    for name in ("checkpoints", "records", "figures"):
        (folder / name).mkdir(parents=True)
    return folder


def listening(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


PLACES = {
    "config.yaml": "config.yaml",
    "metrics.csv": "metrics.csv",
    "metrics.1.csv": "metrics.1.csv",
    "records/x-01234567.csv": "x-01234567.csv",
    "checkpoints/last.ckpt": "last.ckpt",
    "figures/adversarials.png": "adversarials.png",
}
KINDS = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "socket": listening,
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "loop": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_named_and_costs_the_others_nothing(good, bad, kind, monkeypatch):
    for place in PLACES:
        monkeypatch.chdir((bad / place).parent)  # the path of a socket may have some 100 letters
        KINDS[kind](type(bad)((bad / place).name))
    found = {run.name: run for run in Reader().read([good.parents[1]])}
    assert found["good/a"].metrics["train/loss"] == [(9, 1.5)]
    missing = "; ".join(found["bad/a"].missing)
    for place, name in PLACES.items():
        if kind != "binary" or not place.startswith(("checkpoints", "figures")):
            assert name in missing


def test_a_page_of_damaged_runs_is_made(good, bad, tmp_path):
    for place in PLACES:
        os.mkfifo(bad / place)
    page = tmp_path / "page.html"
    assert evaluate(["--report", str(good.parents[1]), "-o", str(page)]) == 0
    assert "good/a" in page.read_text()
    assert "adversarials.png: no file" in page.read_text()


PLAIN_CONFIGS = ["5", "null", "a: b: c", "trainer: {max_epochs: many}"]


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    "config",
    [
        "[1, 2]",
        *(pytest.param(text, marks=pytest.mark.slow) for text in PLAIN_CONFIGS),
        "trainer: 5\nmodel: [1]\ndata: {init_args: 3}",
        "model: {class_path: [1, {}]}\nx: 2024-01-01\n1: {2: 3}\n",
        "x: " + "y" * 1_000_000,
    ],
)
def test_configs_of_any_content(good, bad, config):
    (bad / "config.yaml").write_text(config)
    (bad / "metrics.csv").write_text(METRICS)
    text = render([good.parents[1]], ROOT / "papers")
    assert "good/a" in text
    assert len(text) < 4_000_000


def test_thousands_of_metrics_do_not_hang_a_page(good, bad):
    names = [f"train/metric{i}" for i in range(3000)]
    with (bad / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "step", "train/loss", *names])
        writer.writerows([[0, step, 0.5, *[step] * 3000] for step in range(5)])
    began = time.process_time()
    text = render([good.parents[1]], ROOT / "papers")
    assert time.process_time() - began < 30
    assert "3001 metrics, of which 200 are shown" in text
    assert text.count('id="training-') <= 40
    (run,) = Reader().read([bad])
    assert run.last("train/loss") == 0.5


@pytest.mark.parametrize("head", [True, False])
def test_a_cell_of_131073_letters_costs_its_row(tmp_path, head):
    long = "x" * 131_073
    rows = ["step,train/loss", "1,0.5", f"2,{long}", "3,0.25"]
    (tmp_path / "metrics.csv").write_text("\n".join([long, *rows] if head else rows) + "\n")
    found, faults = read_sessions(tmp_path)
    assert len(faults) == 1
    assert [row["step"] for row in found] == ([] if head else [1, 3])


@pytest.mark.parametrize(
    "text", ["", "\n", '"', 'step,a\n1,"2\n3,4\n', "step,step\n1,x\n", "step\n" + "9" * 5000 + "\n"]
)
def test_metrics_of_any_text(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    assert len(read_metrics(tmp_path)) < 2
    Reader().read([tmp_path])


@pytest.mark.filterwarnings("ignore:Experiment logs directory")
def test_metrics_are_added_and_replaced_as_one(tmp_path):
    logger = MetricsFile(tmp_path, name="a", version="b")
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / "mine").write_text("mine")
    (folder / "metrics.csv").symlink_to(tmp_path / "mine")
    logger.log_metrics({"x": 1.0}, 0)
    logger.save()
    logger.log_metrics({"x": 2.0}, 1)
    logger.save()
    logger.log_metrics({"y": 3.0}, 1)
    logger.save()
    assert (tmp_path / "mine").read_text() == "mine"
    assert (folder / "metrics.csv").read_text() == "step,x,y\n0,1.0,\n1,2.0,\n1,,3.0\n"
    assert os.listdir(folder) == ["metrics.csv"]


@pytest.mark.parametrize("name", ["checkpoints", "records", "figures", "wandb"])
def test_a_run_writes_to_no_folder_that_is_a_link(tmp_path, name):
    run = Run(name="a", id="b", root=str(tmp_path / "runs"))
    run.folder.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (run.folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=f"{name} to be a folder, but got a symbolic link"):
        loggers(run)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_link_to_all_runs_is_fine(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to("disk")
    run = Run(name="a", id="b", root=str(tmp_path / "runs"))
    loggers(run)
    assert (tmp_path / "disk" / "a" / "b").is_dir()


def test_a_link_in_the_place_of_metrics_is_set_aside(tmp_path):
    run = Run(name="a", id="b", root=str(tmp_path / "runs"))
    run.folder.mkdir(parents=True)
    (run.folder / "metrics.csv").symlink_to(tmp_path / "gone")
    run.prepare()
    assert os.listdir(run.folder) == ["metrics.1.csv"]


def test_a_figure_that_cannot_be_written_leaves_the_earlier_one(tmp_path, monkeypatch):
    def half(figure, file, format):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", half)
    path = tmp_path / "figures" / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"old")
    with pytest.raises(ConfigError, match="No space left"):
        save_figure(Figure(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["a.png"]


def test_an_output_is_replaced_as_one(good, tmp_path, monkeypatch):
    page = tmp_path / "old.html"
    page.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert evaluate(["--report", str(good), "-o", str(page)]) == 2
    assert page.read_text() == "old"
