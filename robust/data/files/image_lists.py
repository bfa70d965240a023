"""A CSV file may list images with their labels."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from robust.data.files.folders import Found, Listing
from robust.data.files.image_files import Paths
from robust.errors import ConfigError
from robust.io.text_files import decode, open_file

_PATHS = ("path", "file", "filename", "image")
_LABELS = ("label", "class", "target")
_SPLIT = "split"
_TRAIN = ("train", "training")
_TESTS = ("test", "val", "valid", "validation")
_MOST = 256 << 20
"""Bytes of a list: some million images."""


class _Row(NamedTuple):
    path: str
    label: str
    is_training: bool


def find_listed(file: Path) -> Found:
    """Return the images that a CSV file lists, in its order.

    Its first line names the columns: ``path`` and ``label``, and ``split`` where some are training
    images. Paths are relative to the folder of the file. Labels are integers from 0 on, or names,
    which are sorted.

    Raises:
        ConfigError: If a column, a label or a file is missing.
    """
    rows = _rows(file)
    labels, classes = _numbered([row.label for row in rows], file)
    parts = []
    for is_training in (True, False):
        chosen = [i for i, row in enumerate(rows) if row.is_training == is_training]
        paths = Paths(file.parent, (rows[i].path for i in chosen))
        parts.append(Listing(paths, torch.tensor([labels[i] for i in chosen], dtype=torch.int64)))
    for part in parts:
        _check_there(part.paths, file)
    if not len(parts[1].y):
        raise ConfigError(
            f"Expected test images in {file.name}, but its column `{_SPLIT}` says {_TRAIN[0]} of "
            f"all. Write {_TESTS[0]} for some."
        )
    train, test = parts
    return Found(train, test, classes)


def _rows(file: Path) -> list[_Row]:
    lines = csv.reader(_text(file).splitlines())
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        columns = _columns(header, file)
        rows = [_row(line, number, columns, file) for number, line in enumerate(lines, 2) if line]
    except csv.Error as error:
        raise ConfigError(
            f"Expected a CSV file, but {file.name} cannot be read ({error}). Write it again."
        ) from None
    if not rows:
        raise ConfigError(
            f"Expected images in {file.name}, but it lists none. Add a line for each."
        )
    return rows


def _text(file: Path) -> str:
    with open_file(file, file.name) as stream:
        content = stream.read(_MOST + 1)
    if len(content) > _MOST:
        raise ConfigError(
            f"Expected at most {_MOST >> 20} MiB in {file.name}, but it is larger. Split it."
        )
    return decode(content, file.name)


def _columns(header: Sequence[str], file: Path) -> dict[str, int]:
    columns = {}
    for key, names in (("path", _PATHS), ("label", _LABELS)):
        found = [i for i, name in enumerate(header) if name in names]
        if len(found) != 1:
            raise ConfigError(
                f"Expected one column `{key}` in the first line of {file.name}, but got "
                f"{', '.join(header)[:80] or 'nothing'!r}. Begin it with path,label."
            )
        columns[key] = found[0]
    if _SPLIT in header:
        columns[_SPLIT] = header.index(_SPLIT)
    return columns


def _row(line: Sequence[str], number: int, columns: Mapping[str, int], file: Path) -> _Row:
    if len(line) <= max(columns.values()):
        raise ConfigError(
            f"Expected {max(columns.values()) + 1} columns in line {number} of {file.name}, but "
            f"got {len(line)}. Complete it."
        )
    path, label = (line[columns[key]].strip() for key in ("path", "label"))
    if not path or not label:
        raise ConfigError(
            f"Expected a path and a label in line {number} of {file.name}, but one is empty."
        )
    if _SPLIT not in columns:
        return _Row(path, label, False)
    part = line[columns[_SPLIT]].strip().lower()
    if part not in (*_TRAIN, *_TESTS):
        raise ConfigError(
            f"Expected `{_SPLIT}` to be {_TRAIN[0]} or {_TESTS[0]} in line {number} of "
            f"{file.name}, but got {part[:40]!r}."
        )
    return _Row(path, label, part in _TRAIN)


def _numbered(labels: Sequence[str], file: Path) -> tuple[list[int], tuple[str, ...]]:
    """Return the number of each label, and the names of the classes if they are no numbers."""
    if all(label.isdecimal() and label.isascii() for label in labels):
        for label in labels:
            if len(label.lstrip("0")) > _MOST_DIGITS:
                raise too_many_classes(label, file.name)
        return [int(label) for label in labels], ()
    number = next((label for label in labels if _is_number(label) and not label.isdecimal()), None)
    if number is not None:
        raise ConfigError(
            f"Expected labels in {file.name} that are integers from 0 on or names, but got "
            f"{number[:40]}. Number the classes from 0."
        )
    classes = sorted({*labels})
    numbers = {name: i for i, name in enumerate(classes)}
    return [numbers[label] for label in labels], tuple(classes)


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _check_there(paths: Paths, file: Path) -> None:
    missing = [i for i in range(len(paths)) if not os.path.isfile(paths[i])]
    if missing:
        raise ConfigError(
            f"Expected the files that {file.name} lists, but {_of(missing, paths)} there. Paths "
            "are relative to the folder of the list."
        )


def _of(missing: Sequence[int], paths: Paths) -> str:
    first = _short(paths.name(missing[0]))
    return f"{first} is not" if len(missing) == 1 else f"{len(missing)} are not, such as {first},"


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"…{name[-79:]}"


def too_many_classes(label: object, name: str) -> ConfigError:
    """Return the error about a label that is too large to be one."""
    return ConfigError(
        f"Expected labels below {MOST_CLASSES} in {name}, but got {label!s:.40}. Number the "
        "classes from 0."
    )


MOST_CLASSES = 100_000
_MOST_DIGITS = 9
"""Longer labels are not even read: Python converts no number of thousands of digits."""


def check_labels_begin_at_0(labels: Iterable[torch.Tensor], name: str) -> None:
    """Raise if labels are 1 to K with each of them there, which a count from 1 gives.

    Args:
        labels: Of all parts of a set.
        name: Of the set, for the message.

    Raises:
        ConfigError: With the largest label.
    """
    counts = torch.cat([*labels]).bincount()
    if len(counts) > _FEWEST and not counts[0] and counts[1:].all():
        raise ConfigError(
            f"Expected labels from 0 on in {name}, but got 1 to {len(counts) - 1}. Subtract 1 from "
            "each."
        )


_FEWEST = 2
"""Of one class alone, nothing can be told."""
