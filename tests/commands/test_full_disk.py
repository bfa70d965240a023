"""A disk that is full in the middle of a training: a small tmpfs, which only root can mount."""

import os
import subprocess
import threading
import time

import pytest

from robust.checkpoints import read_checkpoint
from robust.commands.train import train
from tests.support.tiny import arguments

pytestmark = pytest.mark.usefixtures("quiet")
SIZE = 8_000_000


@pytest.fixture
def disk(tmp_path):
    """A folder that holds 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs root, and the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path):
    """Take all that is left."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def fill_after(checkpoint, path):
    """Fill the disk as soon as there is a checkpoint."""
    while not checkpoint.exists():
        time.sleep(0.01)
    fill(path)


@pytest.mark.slow
def test_a_disk_that_fills_up(disk, npz, suite, capfd):
    args = [*arguments(npz, disk, suite, epochs=20), "--run.id=a", "--evaluation.attacks=null"]
    folder = disk / "squeezed" / "a"
    last = folder / "checkpoints" / "last.ckpt"
    filler = threading.Thread(target=fill_after, args=(last, disk / "filler"))
    filler.start()
    began = time.monotonic()
    assert train([*args, "--model.network.seconds=0.05"]) == 2
    ended = time.monotonic()
    filler.join()
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert len(error) == 1
    assert "No space left on device" in error[0]
    assert "--run.resume=auto" in error[0]
    assert ended - began < 30
    kept = read_checkpoint(last)["epoch"]
    assert kept < 19
    assert [path.name for path in last.parent.iterdir()] == ["last.ckpt"]

    (disk / "filler").unlink()
    assert train([*args, "--run.resume=auto"]) == 0
    assert read_checkpoint(last)["epoch"] == 19
    logged = (folder / "metrics.csv").read_text().splitlines()
    assert any(line.startswith("19,") for line in logged)
