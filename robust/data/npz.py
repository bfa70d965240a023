"""Headers of an ``.npz`` file are checked before its arrays are allocated."""

import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from robust.errors import ConfigError
from robust.io.text_files import open_file

_RATIO = 1100
"""Deflate makes at most 1032 bytes of one."""
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, LookupError),
    *(MemoryError, OverflowError, SyntaxError, TypeError, tokenize.TokenError),
)
"""Numpy and zipfile raise these on damaged files."""


def read_arrays(path: Path, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return arrays of plain numbers by their keys; no pickle is run.

    Raises:
        ConfigError: If the file is none, is damaged, or lacks a key.
    """
    # Not np.load, which leaks the file if it is no zip, and takes a bare array or a pickle too.
    with open_file(path) as stream:
        try:
            with NpzFile(stream, allow_pickle=False) as file:
                missing = [key for key in keys if key not in file.files]
                found = ", ".join(file.files)[:100] or "nothing"
                if not missing:
                    for key in keys:
                        _check_header(file, key, os.fstat(stream.fileno()).st_size)
                    return {key: np.asarray(file[key]) for key in keys}
        except DAMAGED as error:
            raise _damaged(path, error) from None
    raise ConfigError(
        f"Expected the keys {', '.join(keys)} in {path}, but got {found}. "
        f"Add {', '.join(missing)} with np.savez."
    )


def keys_of(path: Path) -> list[str]:
    """Return the keys of the arrays of an ``.npz`` file.

    Raises:
        ConfigError: If the file is none, or is damaged.
    """
    with open_file(path) as stream:
        try:
            with NpzFile(stream, allow_pickle=False) as file:
                return list(file.files)
        except DAMAGED as error:
            raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"Expected a complete .npz file of plain arrays at {path}, but it cannot be read "
        f"({_reason(error)}). Write it again with np.savez."
    )


def _check_header(file: NpzFile, key: str, size: int) -> None:
    """Raise ValueError if an array claims more than there is."""
    assert file.zip is not None
    names = file.zip.namelist()
    info = file.zip.getinfo(key if key in names else f"{key}.npy")
    if info.file_size > _RATIO * min(info.compress_size, size):
        raise ValueError(f"{key} claims {info.file_size} bytes, which the file cannot hold")
    with file.zip.open(info) as member:
        version = npy.read_magic(member)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(member)
        there = info.file_size - member.tell()
    if dtype.hasobject:
        raise ValueError(f"{key} holds Python objects")
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or claimed != there:
        raise ValueError(f"{key} claims {claimed} bytes, but {there} are there")


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return lines[-1][:120] if lines else type(error).__name__
