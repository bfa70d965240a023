"""A folder without a run is told with the runs below it, however large and odd it is."""

from pathlib import Path

import pytest

from robust.errors import ConfigError
from robust.loading.trained_run import find_checkpoint


def test_runs_below_are_named(tmp_path):
    for name in ("b/c", "a", "d/e/f", "too/deep/to/look"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "last.ckpt").touch()
    runs = ", ".join(str(tmp_path / name) for name in ("a", "b/c", "d/e/f"))
    with pytest.raises(ConfigError) as told:
        find_checkpoint(tmp_path)
    assert str(told.value).endswith(f"Name one of its runs: {runs}.")


def test_folders_that_vanish_meanwhile_cost_nothing(tmp_path, monkeypatch):
    def vanished(path, pattern):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "glob", vanished)
    with pytest.raises(ConfigError, match="Train one first"):
        find_checkpoint(tmp_path)
