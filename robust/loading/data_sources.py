"""What `--data` may be beside a short name, a YAML file or a class: images that a user has."""

import os
import re
from pathlib import Path

from robust.errors import ConfigError
from robust.loading.messages import nearest
from robust.loading.short_names import check_exists, known
from robust.loading.trust import shown
from robust.vocabulary import DATA_SOURCES

_CLASS = "robust.data.ImageDataModule"


def data_arguments(value: str) -> list[str] | None:
    """Return the arguments of `train.py` for images such as ``imagefolder:DIR``; None for others.

    Raises:
        ConfigError: If it is of no known kind, with the nearest; or a folder or list without one.
    """
    kind, colon, path = value.partition(":")
    if value.endswith(".npz") or (colon and kind in DATA_SOURCES and path):
        return [f"--data={_CLASS}", f"--data.dataset={value}"]
    _check_kind_given(value)
    is_kind = colon and re.fullmatch(r"\w+", kind) and not os.path.lexists(value)
    if not is_kind:
        return None
    kinds = ", ".join(f"{name}:PATH" for name in DATA_SOURCES)
    raise ConfigError(
        f"Expected --data to be a short name, a YAML file or one of {kinds}, but got "
        f"{shown(value)!r}.{nearest(kind, DATA_SOURCES)}"
    )


def check_source(dataset: str) -> None:
    """Raise if images that a user has are not where they are said to be.

    Raises:
        ConfigError: With a name beside it that is near; or if no kind is said of a folder or list.
    """
    _check_kind_given(dataset)
    kind, colon, path = dataset.partition(":")
    if colon and kind == "imagefolder":
        check_exists(os.path.expanduser(path), "a folder of images")
    elif colon and kind in ("csv", "npz"):
        check_exists(os.path.expanduser(path), f"a file for {kind}:")
    elif dataset.endswith(".npz") and not colon:
        check_exists(os.path.expanduser(dataset), "a data file")


def _check_kind_given(value: str) -> None:
    """Raise for a folder or a list of images of which nobody says that it is one."""
    kind = _kind_of(Path(value)) if value else None  # an empty path would be the current folder
    if kind is not None and value not in known("data"):
        what = "list" if kind == "csv" else "folder"
        raise ConfigError(
            f"Expected --data to be a short name, a YAML file or images such as imagefolder:DIR, "
            f"but got the {what} {shown(value)!r}. Did you mean {kind}:{shown(value)}?"
        )


def _kind_of(path: Path) -> str | None:
    """Return the kind of images that are likely there; None if there are none without a kind."""
    if os.path.isdir(path):
        saved = any(os.path.isfile(path / name) for name in _SAVED)
        return "hf" if saved else "imagefolder"
    return "csv" if path.suffix == ".csv" and os.path.isfile(path) else None


_SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")
"""Files of a folder that the `save_to_disk` of Hugging Face wrote."""
