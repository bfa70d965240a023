"""A damaged metrics.csv costs what is damaged of it, and neither the report nor the sweep."""

import os

import pytest

from robust.io.notes import Steps
from robust.report.chart_data import Charts, plot_trainings
from robust.results.metrics_csv import read_metrics
from robust.results.run_folder import Reader

GOOD = "step,epoch,train/loss\n1,0,0.5\n2,0,0.25\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.yaml").write_text("a: 1\n")
    return tmp_path


def points(folder):
    (run,) = Reader().read([folder])
    return [tuple(point) for point in run.metrics.get("train/loss", [])]


@pytest.mark.parametrize(
    "line",
    [
        "x" * 131_073 + ",0,1",
        "1.5e400,0,1",
        "9" * 5_000 + ",0,1",
        "abc,0,1",
        "1,0",
        "1,0,abc",
        "1,abc,1",
        '"1,0,1',
        ",,",
        "\0",
        "1,0,é".encode("latin-1"),
        "9,0,nan",
        "",
    ],
)
def test_a_damaged_row_costs_no_other(folder, line):
    line = line if isinstance(line, bytes) else line.encode()
    content = GOOD.encode() + (b"" if line.startswith(b'"') else line + b"\n3,1,0.125\n") + line
    (folder / "metrics.csv").write_bytes(content)
    assert points(folder)[:2] == [(1, 0.5), (2, 0.25)]
    assert {"step": 2.0, "epoch": 0.0, "train/loss": 0.25} in read_metrics(folder)
    if not line.startswith(b'"'):
        assert points(folder)[-1] == (3, 0.125)
        assert read_metrics(folder)[-1] == {"step": 3.0, "epoch": 1.0, "train/loss": 0.125}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding_is_no_metrics(folder, encoding):
    (folder / "metrics.csv").write_bytes(GOOD.encode(encoding))
    refused(folder)


@pytest.mark.parametrize("place", ["pipe", "folder", "link"])
def test_what_is_no_file_is_not_waited_for(folder, place):
    path = folder / "metrics.csv"
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "link": lambda: path.symlink_to(path),
    }[place]()
    refused(folder)


def refused(folder):
    (run,) = Reader().read([folder])
    assert any("metrics.csv: unreadable" in line for line in run.missing)
    assert not run.metrics
    assert read_metrics(folder) == []


@pytest.mark.slow  # as `test_thousands_of_metrics_do_not_hang_a_page`
def test_thousands_of_metrics_are_no_thousands_of_charts(folder):
    names = [f"train/m{n}" for n in range(3_000)]
    (folder / "metrics.csv").write_text(f"step,{','.join(names)}\n1{',0.5' * 3_000}\n")
    steps = Steps()
    (run,) = Reader().read([folder])
    assert any(line.startswith("3000 metrics, of which 200") for line in run.missing)
    charts = plot_trainings(Charts([run]), steps)
    assert 0 < len(charts) <= 40
    assert f"{200 - len(charts)} of 200 charts of metrics" in steps.failed
