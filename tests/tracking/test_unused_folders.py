"""A run that does not begin leaves no folder, unless somebody else's files are in it."""

import wandb

from robust.tracking import remove_unused


class Open:
    """A run of W&B that has not ended."""

    def __init__(self):
        self.codes = []

    def finish(self, exit_code):
        self.codes.append(exit_code)


def made(root):
    folder = root / "runs" / "a" / "b"
    (folder / "wandb" / "offline-run").mkdir(parents=True)
    (folder / "wandb" / "offline-run" / "run.wandb").touch()
    (folder / "config.yaml").touch()
    return folder, [folder, folder.parent, folder.parent.parent]


def test_what_wandb_wrote_goes_too(tmp_path, monkeypatch):
    _, folders = made(tmp_path)
    opened = Open()
    monkeypatch.setattr(wandb, "run", opened)
    remove_unused(folders)
    monkeypatch.setattr(wandb, "run", None)
    assert opened.codes == [1]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_anything_else_stays(tmp_path):
    folder, folders = made(tmp_path)
    (folder / "mine.txt").touch()
    remove_unused(folders)
    assert {path.name for path in folder.iterdir()} == {"wandb", "config.yaml", "mine.txt"}


def test_nothing_is_removed_through_a_link(tmp_path):
    folder, folders = made(tmp_path)
    kept = tmp_path / "kept"
    (folder / "wandb").rename(kept)
    (folder / "wandb").symlink_to(kept)
    remove_unused(folders)
    assert (kept / "offline-run" / "run.wandb").is_file()
