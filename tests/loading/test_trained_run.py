"""A trained run keeps what its checkpoint says of it, which is read once."""

import shutil
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import LambdaCallback

from robust.errors import ConfigError
from robust.loading import restore, trained_run
from robust.loading.suites import evaluation_of_suite
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


def test_its_records_lie_in_its_folder_and_the_callbacks_of_a_command_are_kept(trained, tmp_path):
    run = TrainedRun.load(shutil.copytree(trained["standard"], tmp_path / "a"))
    shutil.rmtree(run.folder / "records", ignore_errors=True)
    seen = []
    listener = LambdaCallback(on_test_end=lambda *_: seen.append(True))
    evaluation = evaluation_of_suite("quick", ["fgsm"], limit=5, views=["deployed"])
    found = run.evaluate(evaluation, logger=False, progress=False, callbacks=[listener])
    assert found.views == ["deployed"]
    assert list((run.folder / "records").glob("*.csv"))
    assert seen == [True]
    assert evaluation.result is None
