"""A sweep without a server: every run once, whatever happens to it or to its driver."""

import csv
import importlib.util
import json
import os
import re
import runpy
import shutil
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from rich.console import Console

import robust.commands.sweep
import robust.sweep.process
from robust.commands.sweep import sweep
from robust.errors import ConfigError
from robust.io.names import short_names
from robust.sweep.file import SweepFile
from robust.sweep.process import LOG, Process, Slot, parse_slots
from robust.sweep.study import Study
from robust.sweep.summary import pareto_front
from robust.tracking import read_metrics
from tests.support.sweeps import GRID, TOY, run, runs, starts, states
from tests.support.tiny import ROOT, arguments

RANDOM = {
    **GRID,
    "method": "random",
    "run_cap": 3,
    "parameters": {"x": {"distribution": "uniform", "min": 0.0, "max": 1.0}},
}


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(robust.commands.sweep, "_POLL", 0.05)
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


def test_grid_runs_once(capfd):
    assert run(GRID, "--workers=2") == 0
    first = capfd.readouterr()
    assert [r["parameters"]["x"] for r in runs()] == [0.1, 0.3, 0.2]
    assert [r["metrics"]["val/clean_acc"] for r in runs()] == pytest.approx([0.2, 0.6, 0.4])
    assert states() == ["finished"] * 3
    best = runs()[1]["id"]
    assert f"Best val/clean_acc: {best}: 60.0 with x=0.3" in first.out
    assert run(GRID, "--workers=2") == 0
    assert starts() == [1, 1, 1]
    assert f"Best val/clean_acc: {best}" in capfd.readouterr().out


def test_runs_whose_folders_are_gone_are_said_and_not_run_again(capfd):
    assert run(GRID) == 0
    for folder in Path("runs/toy").glob("0*"):
        shutil.rmtree(folder)
    capfd.readouterr()
    assert run(GRID) == 0
    out, _ = capfd.readouterr()
    assert out.count("finished: its metrics.csv is gone; it is not run again") == 3
    assert states() == ["finished"] * 3
    assert starts() == []


def test_runs_whose_journal_is_gone_are_refused_in_one_line(capsys):
    assert run(GRID) == 0
    capsys.readouterr()
    Path("runs/toy/study.jsonl").unlink()
    assert run(GRID) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"error: Expected study\.jsonl to have .* lacks 000-\w+ and 2 more\.", line)
    assert starts() == [1, 1, 1]


def test_table_of_the_sweep():
    run(GRID)
    with open("runs/toy/sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["x"], row["val/clean_acc"]) for row in rows] == [
        ("0.1", "0.2"),
        ("0.3", "0.6"),
        ("0.2", "0.4"),
    ]


def test_random_search_gives_the_same_runs_in_any_number_of_sessions():
    assert run(RANDOM, "--count=1") == 0
    assert run(RANDOM) == 0
    halting = [r["parameters"] for r in runs()]
    assert len(halting) == 3
    assert run(RANDOM, "--root=other") == 0
    straight = json.loads(Path("other/toy/sweep.json").read_text())["runs"]
    assert [r["parameters"] for r in straight] == halting


def test_bayes_search_runs():
    assert run({**RANDOM, "method": "bayes", "run_cap": 2}, "--workers=2") == 0
    assert len({r["parameters"]["x"] for r in runs()}) == 2


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_search_without_an_end_is_refused(method, capsys):
    content = {key: value for key, value in RANDOM.items() if key != "run_cap"}
    assert run({**content, "method": method}) == 2
    assert "`run_cap` in toy.yaml or --count" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_hyperband_stops_the_loser(capfd):
    content = {
        **GRID,
        "parameters": {"x": {"values": [0.9, 0.1]}},
        "early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 3, "strict": True},
    }
    flags = ["--", "--seconds=0.2", "--epochs=8"]
    assert run(content, "--workers=2", *flags) == 0
    assert states() == ["finished", "stopped"]
    assert len(read_metrics(Path("runs/toy") / runs()[1]["id"])) < 8
    assert "stopped: x=0.1" in capfd.readouterr().err


def test_failed_run_is_recorded_and_the_sweep_goes_on(capfd, monkeypatch):
    content = {**GRID, "parameters": {"x": {"values": [-1.0, 0.5]}}}
    assert run(content) == 1
    assert states() == ["failed", "finished"]
    assert runs()[0]["message"] == "x is negative"
    assert f"{runs()[0]['id']} failed: x is negative" in capfd.readouterr().out
    assert run(content) == 1
    assert starts() == [1, 1]
    monkeypatch.setenv("MENDED", "1")
    assert run(content, "--retry") == 0
    assert states() == ["finished", "finished"]
    assert starts() == [2, 1]


def test_failures_in_a_row_end_the_sweep(capsys):
    content = {**GRID, "parameters": {"x": {"values": [-1, -2, -3, -4]}}}
    assert run(content, "--max-failures=2") == 1
    assert states() == ["failed", "failed"]
    assert "Ended after 2 failed runs in a row" in capsys.readouterr().err


def test_program_that_is_not_there():
    assert run({**GRID, "command": ["./nowhere"]}, "--max-failures=1") == 1
    assert runs()[0]["message"] == "No such file or directory: ./nowhere"


def test_misspelt_metric_fails_the_run():
    content = {**GRID, "metric": {"name": "val/claen_acc", "goal": "maximize"}}
    assert run(content, "--max-failures=1") == 1
    assert runs()[0]["message"] == "it logged no val/claen_acc. Did you mean val/clean_acc?"


def test_slots_get_their_devices():
    assert run(GRID, "--slots=gpu:3,gpu:0+1", "--", "--seconds=0.1") == 0
    texts = [path.read_text() for path in Path("runs/toy").glob("*/starts.txt")]
    threads = str(max(1, os.cpu_count() // 2))
    assert {tuple(text.split()) for text in texts} == {("3", threads), ("0,1", threads)}


def test_threads_that_the_user_chose_stay(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert run(GRID, "--slots=cpu", "--count=1") == 0
    (file,) = Path("runs/toy").glob("*/starts.txt")
    assert file.read_text() == " 7\n"


def test_runs_in_a_job_of_slurm_are_no_tasks_of_it(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("WANDB_RUN_ID", "outer")
    environment = robust.sweep.process._environment(Slot("0"), 1)
    assert environment["SLURM_JOB_NAME"] == "interactive"
    assert environment["WANDB_MODE"] == "offline"
    assert "WANDB_RUN_ID" not in environment


@pytest.mark.parametrize("text", ["gpu", "gpu:", "tpu:0", "gpu:0,,gpu:1", "gpu:0,gpu:0"])
def test_slots_that_are_none(text, capsys):
    with pytest.raises(ConfigError, match="Expected slots"):
        parse_slots(text)
    with pytest.raises(SystemExit, match="2"):
        sweep(["toy.yaml", f"--slots={text}"])
    assert "Expected slots" in capsys.readouterr().err


def test_default_is_a_slot_for_each_visible_gpu(monkeypatch):
    assert robust.commands.sweep._default_slots(2) == [Slot("0"), Slot("1")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert robust.commands.sweep._default_slots(None) == [Slot("gpu:4", "4"), Slot("gpu:6", "6")]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert robust.commands.sweep._default_slots(None) == [Slot("0")]


@contextmanager
def interrupted_once(ready):
    """Ctrl-C as soon as ``ready``, and never after what is inside has ended."""
    over = threading.Event()

    def wait():
        while not over.wait(0.02):
            if ready():
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_interrupt_ends_the_runs_and_the_same_command_goes_on(capsys):
    flags = ["--workers=2", "--", "--seconds=1", "--epochs=3"]
    with interrupted_once(lambda: len(list(Path("runs/toy").glob("*/starts.txt"))) == 2):
        assert run(GRID, *flags) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert states() == ["interrupted", "interrupted"]
    assert run(GRID, *flags) == 0
    assert states() == ["finished"] * 3
    assert sorted(starts()) == [1, 2, 2]


def test_killed_run_is_a_failure_with_its_signal(capsys):
    command = ["bash", "-c", "kill -9 $$"]
    assert run({**GRID, "command": command}, "--max-failures=1") == 1
    assert runs()[0]["message"] == "ended by SIGKILL"
    said = capsys.readouterr().out
    assert re.search(r"failed .* not logged ", said)  # in the table


def test_run_that_made_room_for_others_is_started_again():
    script = "test -f made_room || { touch made_room; exit 143; }; exec "
    command = ["bash", "-c", script + '"$0" "$@"', "${interpreter}", "${program}", "${args}"]
    content = {**GRID, "command": command, "parameters": {"x": {"values": [0.5]}}}
    assert run(content) == 0
    assert states() == ["finished"]


def test_live_table_in_a_terminal(monkeypatch):
    console = Console(force_terminal=True, width=200, record=True)
    monkeypatch.setattr(robust.commands.sweep, "Console", lambda **_: console)
    assert run(GRID, "--", "--seconds=0.1") == 0
    text = console.export_text()
    assert "Sweep toy: 0 of 3 runs ended" in text
    assert "x=0.3" in text


def test_command_is_that_of_the_agent(monkeypatch):
    monkeypatch.setenv("CONFIG", "a.yaml")
    words = [
        "${env}",
        "${interpreter}",
        "${program}",
        "fit",
        "--config=${envvar:CONFIG}",
        "${args}",
    ]
    file = SweepFile(Path("toy.yaml"), {**GRID, "command": words})
    expected = [
        "/usr/bin/env",
        sys.executable,
        TOY,
        "fit",
        "--config=a.yaml",
        "--a.b=0.1",
        "--c=tanh",
    ]
    for _ in range(2):
        assert file.command({"a.b": 0.1, "c": "tanh"}) == expected
    default = SweepFile(Path("toy.yaml"), GRID)
    assert default.command({"x": 1}) == ["/usr/bin/env", sys.executable, TOY, "--x=1"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "gird"}, "'gird'"),
        ({"metric": None}, "metric"),
        ({"program": None}, "no `program`"),
        ({"command": ["${prgram}"]}, r"\$\{prgram\}"),
        ({"parameters": {"x": {"min": 0.0, "max": 1.0}}}, "grid can search"),
    ],
)
def test_files_that_cannot_be_run(changed, message, capsys):
    content = {k: v for k, v in {**GRID, **changed}.items() if v is not None}
    assert run(content) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: Expected")
    assert error.count("\n") == 1
    assert re.search(message, error)


def test_another_sweep_of_the_same_name_is_refused(capsys):
    assert run(GRID) == 0
    assert run({**GRID, "parameters": {"x": {"values": [1.0]}}}) == 2
    assert "runs/toy holds, but `parameters` changed since" in capsys.readouterr().err
    assert run(GRID, "--", "--epochs=3") == 2
    assert "`flags` changed since" in capsys.readouterr().err
    assert starts() == [1, 1, 1]


def test_root_that_cannot_be_written(capsys):
    Path("runs").touch()
    assert run(GRID) == 2
    assert "Choose another --root" in capsys.readouterr().err


def test_disk_that_is_full_ends_the_runs(monkeypatch, capsys):
    def full(descriptor):
        raise OSError(28, "No space left on device", "study.jsonl")

    append = Study.started
    monkeypatch.setattr(
        Study, "started", lambda *a: [monkeypatch.setattr(os, "fsync", full), append(*a)]
    )
    assert run(GRID, "--", "--seconds=5") == 2
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.slow
def test_sweep_of_trainings(npz, suite, tmp_path, monkeypatch):
    """A sweep of ours on a tiny network, killed in its first run, and its table."""
    content = yaml.safe_load((ROOT / "sweeps" / "temperature.yaml").read_text())
    flags = arguments(npz, "unused", suite, epochs=6)
    content |= {"program": str(ROOT / "train.py"), "command": ["${interpreter}", "${program}"]}
    content["command"] += [*flags, "--model.network.seconds=0.1", "${args}"]
    content["metric"] = {"name": "val/clean_acc", "goal": "maximize"}
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("WANDB_MODE", "disabled")

    def interrupt():
        while not list(Path("runs/temperature").glob("*/checkpoints/last.ckpt")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert run(content, "--count=2") == 130
    thread.join()
    assert run(content, "--count=2") == 0
    found = json.loads(Path("runs/temperature/sweep.json").read_text())
    assert [r["state"] for r in found["runs"]] == ["finished", "finished"]
    assert found["front"] == ["test/clean_acc", "test/worst_robust_acc/adaptive"]
    assert any(r["front"] for r in found["runs"])
    for trial in found["runs"]:
        rows = read_metrics(Path("runs/temperature") / trial["id"])
        assert [row["epoch"] for row in rows if "val/clean_acc" in row] == [0, 1, 2, 3, 4, 5]


def test_without_optuna(monkeypatch, capsys):
    find = importlib.util.find_spec
    others = lambda name, *args: None if name == "optuna" else find(name, *args)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", others)
    monkeypatch.setattr(sys, "argv", ["sweep", "temperature"])
    monkeypatch.setattr("robust.commands.start.begin", lambda: None)
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("robust.sweep", run_name="__main__")
    assert 'pip install "robust-defenses[sweep]"' in capsys.readouterr().err


def test_pareto_front():
    points = {"a": (1.0, 0.0), "b": (0.5, 0.5), "c": (0.5, 0.4), "d": (0.0, 0.5), "e": (0.5, 0.5)}
    assert pareto_front(points) == {"a", "b", "e"}
    assert pareto_front({}) == set()


def test_names_are_as_long_as_tells_them_apart():
    assert short_names(["model.init_args.t", "seed"]) == ["t", "seed"]
    assert short_names(["a.x.t", "a.y.t", "t"]) == ["x.t", "y.t", "t"]


def test_metrics_of_all_sessions(tmp_path):
    (tmp_path / "metrics.1.csv").write_text("step,a,b\n1,0.1,\n2,,0.2\n")
    (tmp_path / "metrics.10.csv").write_text("step,a\n2,0.4\n")
    (tmp_path / "metrics.2.csv").write_text("step,a\n1,0.3\n2,0.35\n")
    (tmp_path / "metrics.csv").write_text("a,step\n0.5,3\n0.6,")
    assert read_metrics(tmp_path) == [
        {"step": 1, "a": 0.3},
        {"step": 2, "b": 0.2},
        {"step": 2, "a": 0.4},
        {"step": 3, "a": 0.5},
    ]
    assert read_metrics(tmp_path / "missing") == []


def test_runs_learn_what_their_sweep_varies(tmp_path):
    keys = ["model.init_args.temperature", "seed_everything"]
    process = Process(["printenv", "ROBUST_SWEEP_KEYS"], tmp_path, Slot("0"), 1, keys)
    process.wait()
    assert json.loads((tmp_path / LOG).read_text().splitlines()[-1]) == keys
