"""What figures share: colours that everyone can tell apart, and files."""

from pathlib import Path

from matplotlib.figure import Figure

from robust.errors import ConfigError

# Okabe and Ito's palette, told apart by every common kind of colour vision, with a brown in place
# of its yellow, which is faint on white. The markers tell the lines apart in grey as well.
COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#000000",
    "#7A5C2E",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a PNG file, whose folder is made if absent, and return its path.

    Raises:
        ConfigError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    except OSError as error:
        raise ConfigError(
            f"Expected to write {path}, but got: {error.strerror or error}. "
            "Choose a writable folder."
        ) from None
    return path
