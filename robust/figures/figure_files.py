"""Figures become PNG files."""

from pathlib import Path

from matplotlib.figure import Figure

from robust.errors import ConfigError
from robust.io import files


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a PNG file, whose folder is made if absent, and return its path.

    Raises:
        ConfigError: If it cannot be written, or its folder is a symbolic link.
    """
    try:
        files.own_folder(path.parent)
        with files.replacing(path) as file:
            figure.savefig(file, format="png")
    except OSError as error:
        raise ConfigError(
            f"Expected to write {path}, but got: {error.strerror or error}. "
            "Choose a writable folder."
        ) from None
    return path
