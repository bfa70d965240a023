"""Short names of configs, suites, data, tables and sweeps, in a clone and in an installed package.

A name with a separator or a suffix is a path. Every other name is a short one, such as `squeezed`.
"""

import os
import re
from pathlib import Path
from typing import Literal

from robust.errors import ConfigError
from robust.loading.messages import nearest
from robust.loading.trust import shown

Kind = Literal["defense", "suite", "data", "table", "sweep"]

_PLACES: dict[Kind, tuple[str, ...]] = {
    "defense": ("configs/*.yaml", "configs/toy/*.yaml", "configs/papers/*/*.yaml"),
    "suite": ("configs/suites/*.yaml",),
    "data": ("configs/data/*.yaml",),
    "table": ("configs/tables/*.yaml",),
    "sweep": ("sweeps/*.yaml",),
}
"""Where files of each kind are; of two with one name the first counts."""
LISTS: dict[Kind, str] = {
    "defense": "defenses",
    "suite": "suites",
    "data": "data",
    "table": "tables",
    "sweep": "sweeps",
}
"""What `robust list` calls each kind."""
_PACKAGE = Path(__file__).parents[1]


def home() -> Path:
    """Return the folder that has `configs/` and `sweeps/`: the installed package, or the clone."""
    return _PACKAGE if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent


def known(kind: Kind) -> dict[str, Path]:
    """Return the files of a kind by their short names."""
    files: dict[str, Path] = {}
    for place in _PLACES[kind]:
        for path in sorted(home().glob(place)):
            files.setdefault(path.stem, path)
    return files


def is_short(name: str) -> bool:
    """Whether a name is a short one, not a path and not a value such as `{a: 1}`."""
    return re.fullmatch(r"\w[\w-]*", name) is not None


def find(name: str, kind: Kind) -> Path:
    """Return the file that a short name means; a path is returned as it is.

    A path such as ``configs/squeezed.yaml`` that is not here is the one beside the package.

    Raises:
        ConfigError: If there is no such short name.
    """
    if not is_short(name):
        return _shipped(Path(name))
    files = known(kind)
    if name in files:
        return files[name]
    if os.path.isfile(name):  # False for a name too long, where Path raises
        return Path(name)
    raise ConfigError(
        f"Expected a short name of {LISTS[kind]} or a path such as mine.yaml, but got "
        f"{shown(name)!r}.{nearest(name, files)} `robust list {LISTS[kind]}` shows all."
    )


def _shipped(path: Path) -> Path:
    own = home() / path
    is_ours = path.parts[:1] in (("configs",), ("sweeps",)) and not os.path.lexists(path)
    return own if is_ours and os.path.isfile(own) else path


def check_exists(path: str | Path, what: str = "a YAML file") -> None:
    """Raise if there is nothing at a path.

    Raises:
        ConfigError: With a name beside it that is near.
    """
    if os.path.lexists(path):
        return
    beside = {other.name for other in _siblings(Path(path))}
    raise ConfigError(
        f"Expected {what} at {shown_path(path)}, but there is no such file."
        f"{nearest(Path(path).name, beside)}"
    )


def shown_path(path: str | Path) -> str:
    """Return a path as messages show it: its end, if it is long."""
    text = str(path)
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


_LONGEST = 120


def _siblings(path: Path) -> list[Path]:
    try:
        return list(path.parent.iterdir())
    except (OSError, ValueError):
        return []
