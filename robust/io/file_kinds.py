"""What a file is by its first bytes, for messages about one that holds no weights."""

import zipfile
from pathlib import Path
from typing import Literal

WeightsKind = Literal["torch", "safetensors"]
_STARTS = (b"PK", *(bytes([128, protocol]) for protocol in range(2, 6)))
"""How a file of `torch.save` begins: a zip file, or a pickle of some protocol."""
_OTHERS = {
    b"\x89HDF": "an HDF5 file, as Keras writes",
    b"\x93NUMPY": "an array of NumPy",
    b"GGUF": "a GGUF file",
    b"\x1f\x8b": "a compressed file",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
}
_LARGEST_HEADER = 100_000_000
"""Bytes; safetensors themselves allow no more."""
_HEADER = 512
"""Bytes that are looked at."""


def weights_kind(path: Path) -> WeightsKind:
    """Return in which format a file has its weights, if it has any."""
    is_named = path.suffix == ".safetensors"
    return "safetensors" if is_named or is_safetensors(path) else "torch"


def is_safetensors(path: Path) -> bool:
    """Return whether a file has a header as safetensors have."""
    begin = _begin(path)
    return begin[8:9] == b"{" and int.from_bytes(begin[:8], "little") < _LARGEST_HEADER


def not_of_torch(path: Path) -> str | None:
    """Return what a file is that `torch.save` did not write; None if it may have, or is unknown."""
    try:
        begin = _begin(path)
    except OSError:  # what reads all of it says so
        return None
    if begin.startswith(b"PK"):
        return _archive(path)
    if begin.startswith(_STARTS):
        return None
    named = next((what for start, what in _OTHERS.items() if begin.startswith(start)), None)
    if named is not None or not begin:
        return named or "an empty file"
    return "text" if _is_text(begin) else "a file of another kind"


def is_cut(path: Path) -> bool:
    """Return whether a file begins as a zip file, but is none: it is truncated or damaged."""
    try:
        return _begin(path).startswith(b"PK") and not zipfile.is_zipfile(path)
    except OSError:
        return False


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER)


def _archive(path: Path) -> str | None:
    """What a zip file is that has no pickle of torch; None if it has one, or is damaged."""
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return None
    if any(name.endswith("data.pkl") for name in names):
        return None
    arrays = bool(names) and all(name.endswith(".npy") for name in names)
    return "arrays of NumPy (.npz)" if arrays else "a zip file without weights"


def _is_text(begin: bytes) -> bool:
    try:
        text = begin.decode()
    except UnicodeDecodeError as error:
        if error.start < len(begin) - 3:  # not a letter that ends behind the last byte
            return False
        text = begin[: error.start].decode()
    return all(letter.isprintable() or letter.isspace() for letter in text)
