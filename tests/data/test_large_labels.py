"""A label that no class can have is told before anything of its size is made."""

import numpy as np
import pytest
from PIL import Image

from robust.data import ImageDataModule
from robust.errors import ConfigError


@pytest.mark.parametrize("label", [str(10**5), str(10**9), "9" * 5_000, "0" * 10 + "9" * 10])
def test_of_a_list(label, tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    path = tmp_path / "labels.csv"
    path.write_text(f"path,label,split\na.png,0,train\na.png,1,test\na.png,{label},test\n")
    with pytest.raises(ConfigError, match="labels below 100000 in labels") as told:
        ImageDataModule(f"csv:{path}").setup()
    assert len(str(told.value)) < 300


def test_zeros_before_a_label_count_for_nothing(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    path = tmp_path / "labels.csv"
    path.write_text(f"path,label,split\na.png,{'0' * 20},train\na.png,{'0' * 20}1,test\n")
    assert ImageDataModule(f"csv:{path}").num_classes == 2


def test_of_arrays(tmp_path):
    x = np.zeros((2, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=[0, 1], x_test=x, y_test=[0, 10**9])
    with pytest.raises(ConfigError, match=r"labels below 100000 in `y_test`.* but got 1000000000"):
        ImageDataModule(str(tmp_path / "a.npz")).setup()
