"""Ten times the images of a folder take little more memory: the list of their names."""

import gc
import os
from pathlib import Path

import pytest

from robust.data import ImageDataModule
from tests.support.image_folders import image

MOST = 15.0
"""MB; pixels of 18,000 images would take 55."""


def resident():
    """Megabytes of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def used(root, n):
    """Read ``n`` images of a folder, and say how much memory that leaves in use."""
    folder = root / str(n) / "a"
    folder.mkdir(parents=True)
    image(0, 0, size=(32, 32)).save(folder / "0.png")
    for i in range(1, n):
        os.link(folder / "0.png", folder / f"{i}.png")
    before = resident()
    data = ImageDataModule(f"imagefolder:{root}/{n}", workers=0)
    assert sum(len(batch.y) for batch in data.test_dataloader()) == n
    data.fingerprint(n)
    gc.collect()
    return resident() - before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much is used")
def test_memory_is_flat(tmp_path):
    used(tmp_path, 500)  # what is imported and allocated once
    few, many = used(tmp_path, 2_000), used(tmp_path, 20_000)
    assert many - few < MOST
