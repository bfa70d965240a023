"""Without a home W&B's own process would print its log, so it gets a folder of the run."""

import pytest

from robust.tracking import tracker


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"HOME": ""}, False),
        ({"HOME": "{file}"}, False),
        ({"HOME": "{folder}/no/home"}, True),  # which can be made
        ({"HOME": "{folder}"}, True),
        ({"HOME": "{file}", "XDG_CACHE_HOME": "{folder}"}, True),
        ({"HOME": "{folder}", "XDG_CACHE_HOME": "cache"}, False),  # which Go does not take
    ],
)
def test_whether_there_is_a_place(tmp_path, monkeypatch, variables, expected):
    (tmp_path / "file").touch()
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(folder=tmp_path, file=tmp_path / "file"))
    assert tracker._has_cache() is expected


def test_a_folder_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tracker.os, "access", lambda path, mode: False)
    assert not tracker._has_cache()


@pytest.mark.slow
def test_nothing_of_its_log_is_printed(trained, tmp_path):
    """In a process of its own, as W&B's process takes its environment when it begins."""
    import shutil
    import subprocess
    import sys

    from tests.support.tiny import ROOT

    shutil.copytree(trained["standard"], tmp_path / "runs/standard/a")
    words = ["-m", "robust", "evaluate", "runs/standard/a", "--limit=2", "--attacks=fgsm"]
    done = subprocess.run(
        [sys.executable, *words, "--trust=tests", "--eps=0.1"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "wandb sync" in done.stderr
    assert " INFO " not in done.stderr
    assert " ERROR " not in done.stderr
    assert not (tmp_path / ".wandb_cache").exists()
