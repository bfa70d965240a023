"""What `--data` may be beside a short name, a YAML file or a class: images that a user has."""

import os
import re

from robust.errors import ConfigError
from robust.loading.messages import nearest
from robust.loading.short_names import check_exists
from robust.loading.trust import shown
from robust.vocabulary import DATA_SOURCES

_CLASS = "robust.data.ImageDataModule"


def data_arguments(value: str) -> list[str] | None:
    """Return the arguments of `train.py` for images such as ``imagefolder:DIR``; None for others.

    Raises:
        ConfigError: If it is of no known kind, with the nearest.
    """
    kind, colon, path = value.partition(":")
    if value.endswith(".npz") or (colon and kind in DATA_SOURCES and path):
        return [f"--data={_CLASS}", f"--data.dataset={value}"]
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
        ConfigError: With a name beside it that is near.
    """
    kind, colon, path = dataset.partition(":")
    if colon and kind == "imagefolder":
        check_exists(os.path.expanduser(path), "a folder of images")
    elif colon and kind in ("csv", "npz"):
        check_exists(os.path.expanduser(path), f"a file for {kind}:")
