"""Folders of images: a folder for each class, as torchvision's `ImageFolder` reads them."""

import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from robust.data.files.decoding import SUFFIXES
from robust.data.files.image_files import Paths
from robust.errors import ConfigError
from robust.io.notes import note
from robust.types import Labels

_TRAIN = "train"
_TESTS = ("test", "val", "valid", "validation")
"""Names of the folder of the test part; of several the first counts."""


class Listing(NamedTuple):
    """Image files get the labels of their class folders."""

    paths: Paths
    y: Labels


class Found(NamedTuple):
    """The parts of a folder and the names of its classes."""

    train: Listing
    test: Listing
    classes: tuple[str, ...]


def find_images(root: Path) -> Found:
    """Return the images below a folder, sorted, with the sorted names of class folders as labels.

    A folder that has nothing but ``train`` and ``test`` (or ``val``) has both parts. A folder of
    class folders is a test part alone.

    Raises:
        ConfigError: If there is no image, or folders cannot be told apart or read.
    """
    _check_folder(root)
    names = _folders(root)
    if not names:
        raise _without_classes(root)
    is_split = {*names} <= {_TRAIN, *_TESTS}
    train = root / _TRAIN if is_split and _TRAIN in names else None
    tests = [name for name in _TESTS if name in names] if is_split else []
    test = root / tests[0] if tests else (None if is_split else root)
    if test is None:
        raise ConfigError(
            f"Expected test images in {_short(root)}, but it has {_TRAIN} alone. Put them into "
            f"{root.name}/test, or name {root.name}/{_TRAIN} to evaluate on it."
        )
    for name in tests[1:]:
        note(f"{root.name}/{name} is not used; the test images are those of {tests[0]}.")
    return _parts(train, test)


def _parts(train: Path | None, test: Path) -> Found:
    classes = _classes(train if train is not None else test)
    skipped = _Skipped()
    empty = Listing(Paths(test, ()), torch.zeros(0, dtype=torch.int64))
    trained = empty if train is None else _listing(train, classes, skipped)
    tested = _listing(test, classes, skipped)
    for folder, listing in ((train, trained), (test, tested)):
        if folder is not None and not len(listing.y):
            raise _without_images(folder)
    if train is not None:
        _check_known(classes, _classes(test), test)
    skipped.tell()
    return Found(trained, tested, tuple(classes))


class _Skipped:
    """What lies in a folder and is no image, for one note."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def add(self, name: str) -> None:
        self.first = self.first or name
        self.count += 1

    def tell(self) -> None:
        if self.count:
            what = "file is" if self.count == 1 else "files are"
            note(
                f"{self.count} {what} ignored, such as {_short(self.first)}: names of images in "
                f"class folders end in {' '.join(SUFFIXES)}."
            )


def _listing(root: Path, classes: Sequence[str], skipped: _Skipped) -> Listing:
    counts, above = [], _number(root)

    def names() -> Iterator[str]:
        for name in classes:
            is_there = (root / name).is_dir()  # else a class of the training part alone
            found = sorted(_images(root / name, name, skipped, (above,))) if is_there else []
            counts.append(len(found))
            yield from found

    for entry in _entries(root):
        if not _is_folder(entry):
            skipped.add(f"{root.name}/{entry.name}")
    paths = Paths(root, names())
    for name, count in zip(classes, counts, strict=True):
        if not count:
            note(f"the class {_short(name)} has no image in {root.name}.")
    y = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor(counts))
    return Listing(paths, y)


def _images(
    folder: Path, name: str, skipped: _Skipped, above: tuple[tuple[int, int], ...]
) -> Iterator[str]:
    """Return the paths of all images below a folder, relative to the folder of the classes.

    Args:
        folder: The folder.
        name: Its path, relative to the folder of the classes.
        skipped: Takes what is no image.
        above: Device and number of the folders that lead here.
    """
    here = _number(folder)
    if here in above:
        raise ConfigError(
            f"Expected folders that end, but the link {_short(name)} leads back to a folder above "
            "it. Remove the link."
        )
    for entry in _entries(folder):
        inner = f"{name}/{entry.name}"
        if _is_folder(entry):
            yield from _images(folder / entry.name, inner, skipped, (*above, here))
        elif entry.name.lower().endswith(SUFFIXES):
            yield inner
        else:
            skipped.add(inner)


def _classes(root: Path) -> list[str]:
    """Return the names of the class folders, sorted as torchvision does."""
    names = _folders(root)
    if not names:
        raise _without_classes(root)
    alike: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFC", name).casefold()
        if key in alike:
            raise ConfigError(
                f"Expected class folders whose names differ by more than case, but {root.name} has "
                f"{_short(alike[key])} and {_short(name)}. Rename or merge them."
            )
        alike[key] = name
    if all(name.isdecimal() for name in names) and names != sorted(names, key=int):
        note(
            f"classes of {root.name} are sorted as text, as torchvision does: "
            f"{', '.join(names[:4])}, ... Names such as 01 and 10 keep the order of numbers."
        )
    return names


def _check_known(classes: Sequence[str], tested: Sequence[str], test: Path) -> None:
    unknown = sorted({*tested} - {*classes})
    if unknown:
        raise ConfigError(
            f"Expected classes of {test.name} that are in {_TRAIN}, too, but {_short(unknown[0])} "
            "is not. Give both parts the same class folders."
        )


def _folders(root: Path) -> list[str]:
    return sorted(entry.name for entry in _entries(root) if _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder and is not hidden, such as the notes that a desktop leaves."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise _unreadable(folder, error) from None


def _check_folder(root: Path) -> None:
    try:
        if stat.S_ISDIR(root.stat().st_mode):
            return
    except FileNotFoundError:
        raise ConfigError(
            f"Expected a folder of images at {_short(root)}, but there is none. Correct the path."
        ) from None
    except (OSError, ValueError) as error:
        raise _unreadable(root, error) from None
    raise ConfigError(
        f"Expected a folder of images at {_short(root)}, but got a file. Name the folder, or give "
        "csv:FILE or npz:FILE."
    )


def _number(folder: Path) -> tuple[int, int]:
    """Return device and number of a folder, the same by any way to it."""
    try:
        status = folder.stat()
    except OSError as error:
        raise _unreadable(folder, error) from None
    return status.st_dev, status.st_ino


def _unreadable(folder: Path, error: OSError | ValueError) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ConfigError(
        f"Expected a folder that can be read at {_short(folder)}, but got: {reason}. Correct it."
    )


def _without_classes(root: Path) -> ConfigError:
    names = [entry.name for entry in _entries(root)]
    if any(name.lower().endswith(SUFFIXES) for name in names):
        return ConfigError(
            f"Expected a folder for each class in {_short(root)}, but got images. Move them to "
            f"{root.name}/CLASS, or list them with their labels in a file and give csv:FILE."
        )
    return _without_images(root)


def _without_images(root: Path) -> ConfigError:
    return ConfigError(
        f"Expected images in {_short(root)}/CLASS, but there are none. Their names end in "
        f"{' '.join(SUFFIXES)}."
    )


def _short(path: str | Path) -> str:
    text = str(path).encode(errors="replace").decode(errors="replace")
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


_LONGEST = 60
