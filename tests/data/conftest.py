"""Small fake data files: no test reads the network or a real download."""

import struct
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _no_data_dir(monkeypatch):
    monkeypatch.delenv("ROBUST_DATA_DIR", raising=False)


@pytest.fixture
def arrays():
    """What a valid ``.npz`` holds: 44 training and 10 test images, 8x8 grey, 4 classes."""
    random = np.random.RandomState(0)
    return {
        "x_train": random.randint(0, 256, (44, 8, 8)).astype(np.uint8),
        "y_train": np.arange(44) % 4,
        "x_test": random.randint(0, 256, (10, 8, 8)).astype(np.uint8),
        "y_test": np.arange(10) % 4,
    }


@pytest.fixture
def npz(arrays, tmp_path) -> Path:
    path = tmp_path / "fake.npz"
    np.savez(path, **arrays)
    return path


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def mnist_root(tmp_path) -> Path:
    """A root with 30 training and 20 test images in MNIST's and Fashion-MNIST's files."""
    random = np.random.RandomState(1)
    for folder in ("MNIST", "FashionMNIST"):
        raw = tmp_path / folder / "raw"
        for part, n in (("train", 30), ("t10k", 20)):
            write_idx(raw / f"{part}-images-idx3-ubyte", random.randint(0, 256, (n, 28, 28)))
            write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(n) % 10)
    return tmp_path
