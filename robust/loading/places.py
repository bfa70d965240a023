"""Files that come with the package, by their short names: in a clone, or where it is installed."""

import difflib
from pathlib import Path
from typing import Literal

from robust.errors import ConfigError

Kind = Literal["config", "suite", "data", "table", "sweep"]

_FOLDERS: dict[Kind, tuple[str, ...]] = {
    "config": ("configs", "configs/toy"),
    "suite": ("configs/suites",),
    "data": ("configs/data",),
    "table": ("configs/tables",),
    "sweep": ("sweeps",),
}
_SUFFIX = ".yaml"


def find(kind: Kind, name: str | Path) -> Path:
    """Return the file that a name means: a path with a separator or a suffix, else a short name.

    A path is returned as it is, also where there is no such file.

    Args:
        kind: What the file holds.
        name: Such as ``quick``, ``configs/suites/quick.yaml`` or ``mine.yaml``.

    Raises:
        ConfigError: If no file that comes with the package has that short name.
    """
    text = str(name)
    if "/" in text or "\\" in text or Path(text).suffix:
        return Path(name)
    known = names(kind)
    if text in known:
        here = Path.cwd()
        found = known[text]
        return found.relative_to(here) if found.is_relative_to(here) else found
    near = difflib.get_close_matches(text.lower(), known, n=1)
    hint = f"Did you mean {near[0]}?" if near else "Name one of them, or a path."
    listed = ", ".join(sorted(known)[:_MOST]) + (", ..." if len(known) > _MOST else "")
    raise ConfigError(
        f"Expected the name of a {kind} ({listed or 'none is installed'}), but got "
        f"{text[:60]!r}. {hint}"
    )


_MOST = 5
"""Names that an error lists."""


def names(kind: Kind) -> dict[str, Path]:
    """Return the files of a kind that come with the package, by their short names."""
    places = [root / folder for folder in _FOLDERS[kind] for root in _roots()]
    found: dict[str, Path] = {}
    for place in places:
        for path in sorted(place.glob(f"*{_SUFFIX}")):
            found.setdefault(path.stem, path)
    return found


def _roots() -> list[Path]:
    """The package, into which the wheel puts configs and sweeps, and the clone around it."""
    package = Path(__file__).parents[1]
    clone = package.parent
    return [package, clone] if (clone / "pyproject.toml").is_file() else [package]
