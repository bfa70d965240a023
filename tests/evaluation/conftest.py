"""The small data file that `linear` classifies."""

import pytest

from robust.data import ImageDataModule
from tests.data_files import write_npz


@pytest.fixture
def data(tmp_path):
    return ImageDataModule(str(write_npz(tmp_path / "tiny.npz")), eval_batch_size=10)
