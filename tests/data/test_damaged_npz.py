"""An .npz whose headers claim what is not there."""

import io
import zipfile

import numpy as np
import pytest

from robust.data.datasets import load_npz
from robust.errors import ConfigError

ARRAYS = {"x": np.zeros((2, 4, 4), np.uint8), "y": np.array([0, 1])}


def member(array, header=None):
    """The bytes of a ``.npy`` file, with another header if there is one."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    content = buffer.getvalue()
    if header is None:
        return content
    return content[:8] + len(header).to_bytes(2, "little") + header.encode() + content[128:]


@pytest.mark.parametrize("key", ["x_train", "y_test"])
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (79999999999999,), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1" + "0" * 400 + ",), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': ((((((((, }",
        "{'descr': '<V9', 'fortran_order': False, 'shape': None, }",
        "(" * 500,
        "",
        "\0",
    ],
)
def test_a_header_that_claims_anything_else(tmp_path, key, header):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            odd = header if name == key else None
            archive.writestr(f"{name}.npy", member(ARRAYS[name[0]], odd))
    with pytest.raises(ConfigError, match=r"\A[^\n]*complete \.npz file[^\n]*a\.npz[^\n]*\Z"):
        load_npz(path)
