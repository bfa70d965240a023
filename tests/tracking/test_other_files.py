"""A training that goes on from a stranger's checkpoint removes no file that is not its own."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from robust.checkpoints import CHECKSUMS, checksums, read_checkpoint
from robust.commands.train import train
from robust.tracking.saving import forget_other_files
from tests.support.tiny import NO_ATTACKS, arguments

PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


@pytest.mark.usefixtures("quiet")
def test_what_a_checkpoint_names_is_not_removed(npz, suite, tmp_path):
    args = [*arguments(npz, tmp_path / "runs", suite, "Standard", epochs=1)]
    args += [NO_ATTACKS, "--run.id=a"]
    assert train(args) == 0
    folder = tmp_path / "runs" / "standard" / "a" / "checkpoints"
    precious = tmp_path / "precious.ckpt" / "file"
    precious.parent.mkdir()
    precious.write_text("stays")
    content = read_checkpoint(folder / "last.ckpt")
    for state in content["callbacks"].values():
        state["best_model_path"] = f"{state['dirpath']}/../../../../precious.ckpt"
    content[CHECKSUMS] = checksums(content)
    torch.save(content, folder / "last.ckpt")
    assert train([*args, "--trainer.max_epochs=2", "--run.resume=auto"]) == 0
    assert precious.read_text() == "stays"


@pytest.fixture
def files(tmp_path):
    """Paths in the folder of a callback's checkpoints, and whether each is one of its own."""
    folder = tmp_path / "checkpoints"
    (folder / "val").mkdir(parents=True)
    (folder / "of.ckpt").mkdir()
    for name in ("checkpoints/epoch=0.ckpt", "checkpoints/val/loss.ckpt", "a.ckpt", "b.txt"):
        (tmp_path / name).write_text("")
    (folder / "link.ckpt").symlink_to(tmp_path / "a.ckpt")
    (folder / "up").symlink_to(tmp_path)
    own = {f"{folder}/epoch=0.ckpt": True, f"{folder}/val/loss.ckpt": True}
    others = ("../a.ckpt", "up/a.ckpt", "link.ckpt", "of.ckpt", "../b.txt", "..", "gone.ckpt")
    return folder, own | {f"{folder}/{name}": False for name in others} | {5: False, "": False}


def test_a_callback_keeps_its_own_files_alone(files):
    folder, paths = files
    callback = ModelCheckpoint(dirpath=folder, monitor="val/loss", save_top_k=3)
    trainer = SimpleNamespace(checkpoint_callbacks=[callback])
    for path, own in paths.items():
        state = {**dict.fromkeys(PATHS, path), "best_k_models": {path: 1.0}}
        forget_other_files(trainer, {"callbacks": {callback.state_key: state}})
        assert state["best_k_models"] == ({path: 1.0} if own else {}), path
        assert {state[key] for key in PATHS} == {path if own else ""}, path


@pytest.mark.parametrize("checkpoint", [{}, {"callbacks": None}, {"callbacks": {"a": 1}}])
def test_a_checkpoint_without_states_names_nothing(checkpoint):
    forget_other_files(SimpleNamespace(checkpoint_callbacks=[ModelCheckpoint()]), checkpoint)
