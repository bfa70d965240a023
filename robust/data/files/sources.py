"""Images that a user has: a folder, a list, arrays, or a set of Hugging Face."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from robust.data.files.decoding import Decoding
from robust.data.files.folders import Found, Listing, find_images
from robust.data.files.hugging_face import load_hugging_face
from robust.data.files.image_files import ImageFiles, image_files
from robust.data.files.image_lists import (
    MOST_CLASSES,
    check_labels_begin_at_0,
    find_listed,
    too_many_classes,
)
from robust.data.files.npz_sets import class_names_of, load_npz
from robust.data.samples import Dataset, Samples, no_samples
from robust.errors import ConfigError
from robust.io.notes import note
from robust.io.text_files import expanded
from robust.vocabulary import DATA_SOURCES

_Named = tuple[Dataset, tuple[str, ...]]
"""A set with the names of its classes."""
_SPLITS = ("train", "test", "val", "valid", "validation")


class Reading(NamedTuple):
    """How images that are stored elsewhere are read.

    Args:
        decoding: What becomes of each.
        skip_broken: Whether those that cannot be used are left out; they are an error otherwise.
        workers: Number of processes that read batches ahead.
    """

    decoding: Decoding
    skip_broken: bool
    workers: int


class Source(NamedTuple):
    """What names images of a user, such as ``imagefolder:val``."""

    kind: str
    path: str


class Opened(NamedTuple):
    """A set of images of a user.

    Args:
        name: Of the set, in tables.
        data: Its samples.
        num_classes: Labels are smaller than this.
        classes: Names of the classes, or none where nobody named them.
    """

    name: str
    data: Dataset
    num_classes: int
    classes: tuple[str, ...] = ()


def source_of(dataset: str) -> Source | None:
    """Return what a data set's name says of images of a user; None for the name of a known set.

    Raises:
        ConfigError: If it names no path.
    """
    kind, colon, path = dataset.partition(":")
    if not colon or kind not in DATA_SOURCES:
        return Source("npz", dataset) if dataset.endswith(".npz") else None
    if not path:
        raise ConfigError(
            f"Expected a path after {kind}:, but got none. Write {kind}:PATH, as in docs/data.md."
        )
    return Source(kind, path)


def open_source(source: Source, reading: Reading) -> Opened:
    """Return the images that a source names.

    Raises:
        ConfigError: If there are none, or some cannot be used.
    """
    data, classes = _OPENERS[source.kind](source.path, reading)
    name = _name(source)
    parts = [part.y for part in data if len(part.y)]
    largest = max(int(y.max()) for y in parts)
    if largest >= MOST_CLASSES:
        raise too_many_classes(largest, name)
    if not classes:
        check_labels_begin_at_0(parts, name)
    count = largest + 1
    if source.kind == "npz":
        classes = class_names_of(expanded(source.path), count)
    return Opened(name, data, max(count, len(classes)), classes)


def check_unread(reading: Reading, what: str) -> None:
    """Raise if somebody says how to read image files where there are none.

    Raises:
        ConfigError: If so.
    """
    if reading.decoding.is_given() or reading.skip_broken:
        raise ConfigError(
            "Expected `size`, `crop`, `interpolation`, `channels` and `skip_broken` for image "
            f"files alone, but got one of them for {what}. Leave it out."
        )


def _name(source: Source) -> str:
    """Of a folder, without those above it; of one that is a part, with that above."""
    if source.kind == "hf":
        return source.path
    path = expanded(source.path)
    path = path if path.name not in ("", "..") else path.resolve()
    if source.kind != "imagefolder":
        return path.stem
    if path.name in _SPLITS:
        return f"{path.absolute().parent.name}-{path.name}"
    return path.name


def _open_folder(path: str, reading: Reading) -> _Named:
    return _read(find_images(expanded(path)), reading)


def _open_list(path: str, reading: Reading) -> _Named:
    return _read(find_listed(expanded(path)), reading)


def _open_npz(path: str, reading: Reading) -> _Named:
    check_unread(reading, "an .npz file")
    return load_npz(expanded(path)), ()


def _open_hugging_face(path: str, reading: Reading) -> _Named:
    return load_hugging_face(path, reading.decoding, reading.workers)


_OPENERS: dict[str, Callable[[str, Reading], _Named]] = {
    "imagefolder": _open_folder,
    "csv": _open_list,
    "npz": _open_npz,
    "hf": _open_hugging_face,
}


def _read(found: Found, reading: Reading) -> _Named:
    listings = [listing for listing in (found.train, found.test) if len(listing.y)]
    opened = image_files([each.paths for each in listings], reading.decoding, reading.workers)
    if reading.skip_broken:
        pairs = [_intact(files, each) for files, each in zip(opened, listings, strict=True)]
    else:
        pairs = [Samples(files, each.y) for files, each in zip(opened, listings, strict=True)]
    shape = opened[0].shape[1:]
    train = pairs[0] if len(pairs) == 2 else no_samples(shape)
    return Dataset(train, pairs[-1]), found.classes


def _intact(files: ImageFiles, listing: Listing) -> Samples:
    unusable = dict(files.unusable())
    if not unusable:
        return Samples(files, listing.y)
    if len(unusable) == len(files):
        raise files.refusal(*next(iter(unusable.items())))
    _tell(files, unusable.items())
    intact, kept = files.without(unusable)
    return Samples(intact, listing.y[kept])


def _tell(files: ImageFiles, unusable: Iterable[tuple[int, str]]) -> None:
    (first, reason), *others = unusable
    rest = f" and {len(others)} more" if others else ""
    name = Path(files.paths.name(first))
    note(f"left out of {len(files)} images: {name}{rest}, since {reason}.")
