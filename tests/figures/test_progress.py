"""Accuracy per epoch, read from the metrics of runs."""

import pytest

from robust.errors import ConfigError
from robust.figures.progress import plot_progress, read_progress

METRICS = """epoch,step,train/loss,val/clean_acc,test/clean_acc
0,9,2.1,,
0,10,,0.25,
1,19,1.5,,
1,20,,0.5,
1,20,,0.75,
2,20,,,0.9
"""


@pytest.fixture
def metrics(tmp_path):
    (tmp_path / "metrics.csv").write_text(METRICS)
    return tmp_path


def test_the_last_value_of_each_epoch(metrics):
    assert read_progress(metrics) == {0: 0.25, 1: 0.75}
    assert read_progress(metrics, "train/loss") == {0: 2.1, 1: 1.5}


def test_the_sessions_of_a_run_that_went_on_are_one_line(metrics):
    (metrics / "metrics.csv").rename(metrics / "metrics.1.csv")
    (metrics / "metrics.csv").write_text("epoch,step,val/clean_acc\n2,30,0.8\n")
    assert read_progress(metrics) == {0: 0.25, 1: 0.75, 2: 0.8}


def test_runs_are_plotted(metrics, tmp_path, monkeypatch):
    plotted = {}
    save = "robust.figures.progress.save_figure"
    monkeypatch.setattr(save, lambda figure, path: plotted.update(figure=figure) or path)
    plot_progress({"plain": metrics, "with a layer": metrics}, tmp_path / "progress.png")
    lines = plotted["figure"].axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["plain", "with a layer"]
    assert list(lines[0].get_xdata()) == [1, 2]
    assert list(lines[0].get_ydata()) == [25, 75]


def test_a_file_is_written(metrics, tmp_path):
    path = plot_progress({"plain": metrics}, tmp_path / "new" / "progress.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, r"`val/clean_acc` .* but got none\."),
        ("epoch,step,val/clean_acc\n0,1,good\n", r"but got epoch, step\."),
        ("epoch,step,train/loss\n0,1,1.0\n", r"`val/clean_acc` .* got epoch, step, train/loss\."),
        ("", r"`val/clean_acc` .* but got none\."),
    ],
)
def test_what_cannot_be_plotted(tmp_path, text, match):
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(ConfigError, match=match):
        plot_progress({"run": tmp_path}, tmp_path / "progress.png")


def test_no_runs(tmp_path):
    with pytest.raises(ConfigError, match="at least one run"):
        plot_progress({}, tmp_path / "progress.png")
