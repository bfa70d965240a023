"""What a file is that is no weights, told by its bytes."""

import io
import zipfile

import numpy as np
import pytest
import torch

from robust.checkpoints import read_checkpoint
from robust.errors import ConfigError
from robust.io.file_kinds import not_of_torch, weights_kind
from robust.loading.pretrained.state_dicts import read_weights


def archive(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def arrays():
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(2))
    return buffer.getvalue()


KINDS = {
    "python": (b"from torch import nn\nclass CNN(nn.Module): ...\n", "text"),
    "cut in a letter": ("ä".encode() * 300, "text"),
    "nothing": (b"", "an empty file"),
    "npz": (arrays(), r"arrays of NumPy \(.npz\)"),
    "zip": (archive(a="1"), "a zip file without weights"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file, as Keras writes"),
    "npy": (b"\x93NUMPY\x01\x00", "an array of NumPy"),
    "image": (b"\x89PNG\r\n" + bytes(99), "an image"),
    "noise": (bytes(range(128, 255)) * 9, "a file of another kind"),
}


@pytest.mark.parametrize("read", [read_weights, read_checkpoint])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_weights_is_named(read, name, tmp_path):
    content, what = KINDS[name]
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"but got {what}. (Save|Name)"):
        read(path)


@pytest.mark.parametrize("is_zip", [True, False])
def test_what_torch_wrote_may_have_weights(is_zip, tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=is_zip)
    assert not_of_torch(path) is None
    path.write_bytes(path.read_bytes()[:-9])  # damaged: torch says how
    assert not_of_torch(path) is None


def test_what_is_named_safetensors_and_is_none(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_text('import json{"a"}')
    with pytest.raises(ConfigError, match=r"Expected safetensors at .*, but got text\. Save"):
        read_weights(path)


def test_safetensors_are_known_under_any_name(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    path = tmp_path / "w.pt"
    save_file({"a": torch.ones(2)}, path)
    assert weights_kind(path) == "safetensors"
    assert torch.equal(read_weights(path)["a"], torch.ones(2))
