"""A trained run keeps what its checkpoint says of it, which is read once."""

from pathlib import Path

import pytest

from robust.errors import ConfigError
from robust.loading import restore, trained_run
from robust.loading.trained_run import TrainedRun, find_checkpoint


def test_a_checkpoint_is_read_once(trained, monkeypatch):
    read, paths = trained_run.read_checkpoint, []

    def counted(path):
        paths.append(path)
        return read(path)

    for module in (trained_run, restore):
        monkeypatch.setattr(module, "read_checkpoint", counted)
    run = TrainedRun.load(trained["squeezed"], {"temperature": 3, "no_argument": 1})
    assert len(paths) == 1
    assert run.epochs == 6
    assert run.described["model"]["class_path"] == "robust.defenses.Squeezed"
    assert run.described["model"]["init_args"]["temperature"] == 3
    assert "no_argument" not in run.described["model"]["init_args"]
    assert run.described["data"]["class_path"] == "robust.data.ImageDataModule"


def test_what_a_folder_without_a_checkpoint_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    with pytest.raises(ConfigError, match=r"no checkpoints/last\.ckpt\. Train one first\."):
        find_checkpoint(Path("mine"))
    Path("mine/records").mkdir()
    with pytest.raises(ConfigError, match="records alone; `robust report mine` shows them"):
        find_checkpoint(Path("mine"))
