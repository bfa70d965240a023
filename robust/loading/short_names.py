"""Short names of configs, suites, data, tables and sweeps, in a clone and in an installed package.

A name with a separator or a suffix is a path. Every other name is a short one, such as `squeezed`.
"""

import os
import re
from pathlib import Path
from typing import Literal

from robust.errors import ConfigError
from robust.loading.messages import nearest, nearest_name
from robust.loading.trust import shown

Kind = Literal["defense", "suite", "data", "table", "sweep"]

_PLACES: dict[Kind, tuple[str, ...]] = {
    "defense": ("configs/*.yaml", "configs/toy/*.yaml", "papers/*/configs/*.yaml"),
    "suite": ("configs/suites/*.yaml", "papers/*/suites/*.yaml"),
    "data": ("configs/data/*.yaml",),
    "table": ("papers/*/tables/*.yaml",),
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
_EARLIER = {
    "configs/tables": "papers/*/tables",
    "configs/suites": "papers/*/suites",
    "configs/papers/tuna2022": "papers/tuna2022/configs",
    "configs/papers/wang2018": "papers/wang2018/configs",
    "configs/papers/zantedeschi2017": "papers/zantedeschi2017/configs",
    "configs/papers/paranjape2020": "papers/paranjape2020/configs",
}
"""Where the files of folders are that have moved, by the earlier folder."""
_PACKAGE = Path(__file__).parents[1]


def home() -> Path:
    """Return the folder that has `configs/` and `papers/`: the installed package, or the clone."""
    return _PACKAGE if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent


def known(kind: Kind) -> dict[str, Path]:
    """Return the files of a kind by their short names."""
    files: dict[str, Path] = {}
    for place in _PLACES[kind]:
        for path in sorted(home().glob(place)):
            files.setdefault(path.stem, path)
    return files


def tables_in(folder: Path) -> list[Path]:
    """Return the tables in a folder, or in a folder of papers such as ``papers``."""
    return sorted([*folder.glob("*.yaml"), *folder.glob("*/tables/*.yaml")])


def is_short(name: str) -> bool:
    """Whether a name is a short one, not a path and not a value such as `{a: 1}`."""
    return re.fullmatch(r"\w[\w-]*", name) is not None


def find(name: str, kind: Kind) -> Path:
    """Return the file that a short name means; a path is returned as it is.

    A path such as ``configs/squeezed.yaml`` that is not here is the one beside the package. Earlier
    paths, such as ``configs/tables/NAME.yaml``, are followed to where their files are now.

    Raises:
        ConfigError: If there is no such short name.
    """
    if name and not is_short(name):
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
    if os.path.lexists(path):
        return path
    own = home() / path
    is_ours = path.parts[:1] in (("configs",), ("papers",), ("sweeps",))
    return own if is_ours and os.path.isfile(own) else _moved(path) or path


def _moved(path: Path) -> Path | None:
    """Return where a file is now whose earlier path is given; None if it is not one of ours."""
    for earlier, now in _EARLIER.items():
        if path.match(f"{earlier}/*.yaml"):
            clone = Path(*path.parts[: -1 - len(Path(earlier).parts)])
            folders = [clone] if clone.parts else [clone, home()]
            found = (file for folder in folders for file in folder.glob(f"{now}/{path.name}"))
            return next(found, None)
    return None


def check_exists(path: str | Path, what: str = "a YAML file") -> None:
    """Raise if there is nothing at a path.

    Raises:
        ConfigError: With a name beside it that is near.
    """
    if os.path.lexists(path):
        return
    is_folder = "folder" in what and not Path(path).suffix
    near = _nearest_path(Path(path))
    raise ConfigError(
        f"Expected {what} at {shown_path(path)}, but there is no such "
        f"{'folder' if is_folder else 'file'}."
        f"{'' if near is None else f' Did you mean {shown_path(near)}?'}"
    )


def _nearest_path(path: Path) -> Path | None:
    """Return the path that is perhaps meant, of which one name may be misspelt."""
    missing = next((p for p in reversed(path.parents) if not os.path.lexists(p)), path)
    name = nearest_name(missing.name, [other.name for other in _siblings(missing)])
    if name is None:
        return None
    found = missing.parent / name
    complete = found / path.relative_to(missing)
    return complete if os.path.lexists(complete) else found


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
