"""A header that claims more than there is is found before anything is allocated."""

import io
import os
import zipfile

import numpy as np
import pytest

from robust.data.npz import read_arrays
from robust.errors import ConfigError


def header(shape, dtype="|u1", version=(1, 0)):
    stream = io.BytesIO()
    content = {"descr": dtype, "fortran_order": False, "shape": shape}
    write = np.lib.format.write_array_header_1_0
    (write if version == (1, 0) else np.lib.format.write_array_header_2_0)(stream, content)
    return stream.getvalue()


def packed(path, content, name="x.npy", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr(name, content)
    return path


CONTENTS = {
    "71 TiB": header((78_000_000_000_000,)) + b"a",
    "2.0": header((78_000_000_000_000,), version=(2, 0)) + b"a",
    "product beyond 64 bits": header((2**40, 2**40)) + b"a",
    "less than there is": header((2,)) + b"aaaa",
    "negative": header((-1,)) + b"a",
    "objects": header((1,), "|O") + b"a" * 8,
    "no magic": b"garbage",
    "empty": b"",
    "unknown version": b"\x93NUMPY\x09\x00" + b"a" * 80,
    "half a header": header((1,))[:20],
    "nested": b"\x93NUMPY\x01\x00\xf8\x1f" + b"(" * 8184,
    "no dtype": header((1,), "|u1").replace(b"'|u1'", b"'zzz'") + b"a",
    "text for a shape": header((1,)).replace(b"(1,)", b"'ab'") + b"a",
}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("case", CONTENTS)
def test_arrays_that_are_none(tmp_path, case, compression):
    path = packed(tmp_path / "a.npz", CONTENTS[case], compression=compression)
    with pytest.raises(ConfigError, match=r"complete \.npz file of plain arrays") as error:
        read_arrays(path, ["x"])
    assert "\n" not in str(error.value)


def test_a_directory_that_claims_too_much(tmp_path):
    path = packed(tmp_path / "a.npz", header((10**9,)) + b"a")
    content = bytearray(path.read_bytes())
    start = content.rfind(b"PK\x01\x02")
    content[start + 24 : start + 28] = (10**9 + 128).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    with pytest.raises(ConfigError, match="which the file cannot hold"):
        read_arrays(path, ["x"])


@pytest.mark.parametrize("keep", [0, 10, 100, 200])
def test_half_a_file(tmp_path, keep):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(9))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ConfigError, match=r"complete \.npz file"):
        read_arrays(path, ["x"])


def test_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="it is a pipe"):
        read_arrays(tmp_path / "pipe", ["x"])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays(tmp_path, save):
    given = {
        "x": np.zeros((1000, 100), np.uint8),
        "y": np.array(3),
        "z": np.asfortranarray(np.eye(3)),
    }
    save(tmp_path / "a.npz", **given)
    found = read_arrays(tmp_path / "a.npz", ["x", "y", "z"])
    assert all(np.array_equal(found[key], value) for key, value in given.items())
    with pytest.raises(ConfigError, match=r"Expected the keys x, w in .* Add w with np\.savez"):
        read_arrays(tmp_path / "a.npz", ["x", "w"])
