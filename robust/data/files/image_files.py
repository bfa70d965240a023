"""Image files of one shape, read one by one when they are asked for."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL.Image import Image as Opened
from torch import Tensor

from robust.data.files.decoding import Decoding, UnusableImage, channels_of, opened
from robust.data.files.workers import in_order
from robust.data.samples import Indices, Pixels, StoredImages
from robust.errors import ConfigError
from robust.io import files
from robust.io.notes import note

Image = UInt8[Tensor, "c h w"]

_LOOKED_AT = 32
"""Images whose heads say of what shape a set is."""
_CHUNK = 64
"""Images that are checked or hashed together."""
_MANY = 20_000
_THREADS = 8
_LARGEST = 1 << 30
"""Bytes of an image file."""


class Paths(Sequence[Path]):
    """Paths below a folder, kept as bytes: a million of them take a tenth of a million objects.

    Args:
        root: The folder.
        names: Paths relative to it.
    """

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self.root = root
        content = bytearray()
        ends = [0]
        for name in names:
            content += name.encode(errors="surrogateescape")
            ends.append(len(content))
        self._content = bytes(content)
        self._ends = np.array(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def name(self, i: int) -> str:
        """Return the path relative to the folder."""
        start, stop = self._ends[i : i + 2]
        return self._content[start:stop].decode(errors="surrogateescape")

    def __getitem__(self, i: int) -> Path:  # type: ignore[override] # no slices
        return self.root / self.name(i)

    def at(self, chosen: Indices) -> "Paths":
        """Return some of them."""
        return Paths(self.root, map(self.name, chosen.tolist()))


class ImageFiles(StoredImages):
    """Image files of one shape, each read when it is asked for.

    Args:
        paths: The files, at least one.
        decoding: What becomes of them, with the channels.
        shape: (C, H, W), which each of them must have.
        workers: Number of processes that read batches ahead.
    """

    def __init__(
        self, paths: Paths, decoding: Decoding, shape: tuple[int, int, int], workers: int
    ) -> None:
        super().__init__((len(paths), *shape), workers)
        self.paths = paths
        self.decoding = decoding
        self._checked = False

    def take(self, index: Indices) -> Pixels:
        """Read some images.

        Raises:
            ConfigError: If one of them is unusable or has another shape.
        """
        made = torch.empty((len(index), *self.shape[1:]), dtype=torch.uint8)
        for row, i in enumerate(index.tolist()):
            made[row] = self._read(i)
        return made

    def digest(self, stop: int) -> bytes:
        """Return a hash of the bytes of the first ``stop`` files and of how they are decoded.

        Names do not count: the same images under other names are the same data.

        Raises:
            ConfigError: If one of them cannot be read.
        """
        digest = hashlib.sha256(repr(self.decoding).encode())
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, stop, _CHUNK):
                for part in pool.map(self._hash, range(start, min(start + _CHUNK, stop))):
                    digest.update(part)
        return digest.digest()

    def check(self) -> None:
        """Raise unless every image can be decoded, once.

        Raises:
            ConfigError: With the first that cannot, or has another shape.
        """
        if not self._checked:
            self._say_long()
            super().check()
        self._checked = True

    def unusable(self) -> Iterator[tuple[int, str]]:
        """Yield the index of each image that cannot be used, and why, by decoding all of them.

        Raises:
            ConfigError: If one has another shape.
        """
        self._say_long()
        chunks = torch.split(torch.arange(len(self)), _CHUNK)
        for found in in_order(self._unusable_among, chunks, self.workers):
            yield from found
        self._checked = True

    def without(self, unusable: Iterable[int]) -> tuple["ImageFiles", Indices]:
        """Return all images that are not unusable, and their indices here."""
        good = torch.ones(len(self), dtype=torch.bool)
        good[list(unusable)] = False
        kept = good.nonzero().flatten()
        intact = ImageFiles(self.paths.at(kept), self.decoding, self.shape[1:], self.workers)
        intact._checked = True
        return intact, kept

    def refusal(self, i: int, reason: str) -> ConfigError:
        """Return the error for an image that cannot be used."""
        return ConfigError(
            f"Expected an image in {_end_of(self.paths.name(i))}, but it cannot be used "
            f"({reason[:100]}). Replace or remove it, or leave such images out with "
            "`--skip-broken` (`data.init_args.skip_broken`)."
        )

    def _say_long(self) -> None:
        if len(self) > _MANY:
            note(f"reading {len(self)} images once, to find any that are unusable.")

    def _unusable_among(self, chunk: Indices) -> list[tuple[int, str]]:
        found = []
        for i in chunk.tolist():
            try:
                self._pixels(i)
            except UnusableImage as error:
                found.append((i, str(error)))
        return found

    def _read(self, i: int) -> Image:
        try:
            return self._pixels(i)
        except UnusableImage as error:
            raise self.refusal(i, str(error)) from None

    def _pixels(self, i: int) -> Image:
        pixels = self.decoding.pixels(content_of(self.paths[i]))
        if tuple(pixels.shape) != self.shape[1:]:
            _, height, width = pixels.shape
            raise ConfigError(
                f"Expected images of one size, but {_end_of(self.paths.name(i))} has "
                f"{width}x{height} pixels and others have {self.shape[3]}x{self.shape[2]}. Give "
                "--size 224, for example (`data.init_args.size`)."
            )
        return pixels

    def _hash(self, i: int) -> bytes:
        try:
            return hashlib.sha256(content_of(self.paths[i])).digest()
        except UnusableImage as error:
            raise self.refusal(i, str(error)) from None


def content_of(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        UnusableImage: If it cannot be read, or is no file.
    """
    try:
        return files.read(path, _LARGEST)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UnusableImage(reason or str(error)) from None


def image_files(parts: Sequence[Paths], decoding: Decoding, workers: int) -> list[ImageFiles]:
    """Return the parts of a set, all of the shape that some of their images have.

    Args:
        parts: Paths of each part; one of them has files.
        decoding: What becomes of them; channels that are not given follow from some images.
        workers: Number of processes that read batches ahead.

    Raises:
        ConfigError: If none of these images can be used.
    """
    some = [content for paths in parts for content in _some(paths)]
    images = list(_readable(some))
    if not images:
        first = next(paths for paths in parts if len(paths))
        raise ConfigError(
            f"Expected images below {_end_of(first.root)}, but none of those that were tried can "
            f"be used, such as {_end_of(first.name(0))}. Replace them."
        )
    if decoding.channels is None:
        decoding = replace(decoding, channels=channels_of(images))
    shape = _shape_of(images, decoding)
    return [ImageFiles(paths, decoding, shape, workers) for paths in parts]


def _some(paths: Paths) -> Iterator[Path]:
    step = max(1, len(paths) // _LOOKED_AT)
    return (paths[i] for i in range(0, len(paths), step))


def _readable(paths: Iterable[Path]) -> Iterator[Opened]:
    for path in paths:
        try:
            yield opened(content_of(path))
        except UnusableImage:
            continue


def _shape_of(images: Sequence[Opened], decoding: Decoding) -> tuple[int, int, int]:
    crop = decoding.crop or decoding.size
    assert decoding.channels is not None
    if crop is not None:
        return decoding.channels, crop, crop
    ((width, height), _), *_ = Counter(image.size for image in images).most_common(1)
    return decoding.channels, height, width


def _end_of(path: str | Path) -> str:
    """Return a path as messages show it: its end, if it is long."""
    text = str(path).encode(errors="replace").decode(errors="replace")
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


_LONGEST = 60
