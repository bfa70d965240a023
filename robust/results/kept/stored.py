"""The file of kept images has a frame for each block, attack and view, each after its hash."""

import hashlib
import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robust.io import files
from robust.results.kept.forms import FORMS
from robust.results.rows import Column

NOT_RECORDED = "not recorded"
_HEAD = 80
"""Bytes of the line before a frame at most: a hash and a length."""
DAMAGE = (
    *(ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile, zlib.error),
    # Of the header of an array, which is the text of a literal.
    *(MemoryError, OverflowError, SyntaxError, RecursionError, tokenize.TokenError),
)
"""Errors of a damaged frame."""
_LARGEST = 2**30
"""Bytes of a frame's arrays at most, without which a few bytes could take all memory."""


class Frame(NamedTuple):
    """A frame holds successes of one attack on one block.

    Args:
        views: Views through which it was found, which are one module.
        attack: Name of the attack.
        index: Index of each image.
        form: As `robust.results.kept.forms.encode` returns it.
        images: As that returns them.
        hardware: The machine that attacked, in words.
    """

    views: tuple[str, ...]
    attack: str
    index: Column  # type: ignore[assignment] # a column, not tuple's method
    form: Column
    images: Mapping[str, Column]
    hardware: str

    def encoded(self) -> bytes:
        """Return the frame as bytes, after a line with their hash and length."""
        said = {"views": self.views, "attack": self.attack, "hardware": self.hardware}
        meta = np.frombuffer(json.dumps(said).encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        arrays = {"meta": meta, "index": self.index, "form": self.form, **self.images}
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        payload = buffer.getvalue()
        digest = hashlib.sha256(payload).hexdigest()
        return f"{digest} {len(payload)}\n".encode() + payload + b"\n"

    @staticmethod
    def decoded(payload: bytes) -> "Frame":
        """Return the frame of some bytes.

        Raises:
            ValueError: If they are none; also another error of `DAMAGE`.
        """
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LARGEST:
                raise ValueError("it is too large")
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            said = json.loads(arrays["meta"].tobytes())
            images = {name: arrays[name] for name in FORMS}
            index, form = arrays["index"], arrays["form"]
        views = tuple(map(str, said["views"]))
        return Frame(views, str(said["attack"]), index, form, images, str(said["hardware"]))


def kept_path(record: Path) -> Path:
    """Return the file of kept images beside a record file."""
    return record.with_suffix(".kept")


def read_frames(path: Path) -> tuple[list[Frame], list[str]]:
    """Return the intact frames of a file, and what is wrong with the others.

    Raises:
        OSError: If it cannot be read.
    """
    frames, faults = [], []
    for number, payload in enumerate(_payloads(files.read(path)), 1):
        try:
            if payload is None:
                raise ValueError("its hash does not match")
            frames.append(Frame.decoded(payload))
        except DAMAGE as error:
            faults.append(f"frame {number}: {error}")
    return frames, faults


def merge(parts: Sequence[Path], path: Path) -> None:
    """Put the intact frames of parts behind those of a file, atomically, and remove the parts.

    If the file is damaged, its bytes are set aside in its ``.damaged.kept``: nothing behind the
    damage would be read.

    Raises:
        OSError: If it cannot be written.
    """
    content = files.read(path) if path.is_file() else b""
    added = b"".join(_framed(payload) for part in parts for payload in _payloads(files.read(part)))
    if added:
        before = list(_payloads(content))
        if None in before:
            files.write(path.with_suffix(".damaged.kept"), content)
            content = b"".join(map(_framed, before))
        files.write(path, content + added)
    for part in parts:
        part.unlink(missing_ok=True)


def cut(part: Path) -> None:
    """Cut off a frame that a killed process left incomplete, so that others can follow.

    Raises:
        OSError: If the file cannot be written.
    """
    with files.open_to_append(part) as file:
        file.seek(0)
        ends = [end for payload, end in _frames(file.readall()) if payload is not None]
        file.truncate(max(ends, default=0))


def hardware_of(path: Path) -> str:
    """Return the machine that attacked, from the file of kept images."""
    try:
        frames, _ = read_frames(path)
    except OSError:
        return NOT_RECORDED
    return "; ".join(dict.fromkeys(frame.hardware for frame in frames)) or NOT_RECORDED


def _framed(payload: bytes | None) -> bytes:
    if payload is None:  # what a killed process left incomplete
        return b""
    digest = hashlib.sha256(payload).hexdigest()
    return f"{digest} {len(payload)}\n".encode() + payload + b"\n"


def _payloads(content: bytes) -> Iterator[bytes | None]:
    """Yield each frame's bytes; None for what cannot be believed, which ends the file."""
    return (payload for payload, _ in _frames(content))


def _frames(content: bytes) -> Iterator[tuple[bytes | None, int]]:
    """Yield each frame's bytes and where it ends."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start, start + _HEAD)
        words = content[start:end].split(b" ") if end > 0 else []
        if len(words) != 2 or not words[1].isdigit():
            yield None, start
            return
        stop = end + 1 + int(words[1])
        payload = content[end + 1 : stop]
        is_intact = hashlib.sha256(payload).hexdigest().encode() == words[0]
        is_intact = is_intact and content[stop : stop + 1] == b"\n"
        yield (payload, stop + 1) if is_intact else (None, start)
        start = stop + 1


def described(values: Mapping[str, Any]) -> str:
    """Return a machine in words, from what is known of it."""
    return ", ".join(f"{key} {value}" for key, value in values.items() if value)
