"""The album shows figures of the run folders, small enough to be part of the page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from robust.io import files
from robust.results.run_folder import RunFiles

_WIDEST = 900
"""Pixels; the widest that the page shows a figure."""
_LARGEST = 64_000_000
"""Bytes of a figure."""
_KINDS = {
    "adversarials": "adversarial images",
    "accuracy": "robust accuracy against eps",
    "operator_norms": "operator norms of the layers",
    "loss": "loss surface",
}


class AlbumFigure(NamedTuple):
    """A figure as the page contains it."""

    run: str
    file: str
    title: str
    """What it shows, which a screen reader reads."""
    url: str
    """A ``data:`` address with all its bytes."""
    width: int
    height: int


class Album(NamedTuple):
    """The figures of a page.

    Args:
        figures: What is shown, adversarial images first.
        left_out: Files that did not fit or cannot be read, as ``run: file``.
    """

    figures: list[AlbumFigure]
    left_out: list[str]


def album(runs: Sequence[RunFiles], budget: int) -> Album:
    """Return the figures of all runs as far as they fit, adversarial images first, run by run.

    Args:
        runs: The runs.
        budget: Bytes that the addresses of all figures may take.
    """
    ranked = [
        (not path.name.startswith("adversarials"), number, run.name, path)
        for run in runs
        for number, path in enumerate(run.figures)
    ]
    figures: list[AlbumFigure] = []
    left_out: list[str] = []
    for _, _, name, path in sorted(ranked):
        if budget <= 0:
            left_out.append(f"{name}: {_shown(path)}")
            continue
        try:
            content, size = _small(files.read(path, _LARGEST))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            left_out.append(f"{name}: {_shown(path)} (cannot be read)")
            continue
        url = f"data:image/webp;base64,{base64.b64encode(content).decode()}"
        budget -= len(url)
        if budget <= 0:
            left_out.append(f"{name}: {_shown(path)}")
            continue
        figures.append(AlbumFigure(name, _shown(path), _title(path.stem), url, *size))
    return Album(figures, left_out)


def _shown(path: Path) -> str:
    """A figure's file, below the data that it is on if these are others than the run's own."""
    return str(path.relative_to(path.parents[1])).removeprefix("figures/")


def _small(content: bytes) -> tuple[bytes, tuple[int, int]]:
    with Image.open(io.BytesIO(content)) as opened:
        image = opened.convert("RGB")
    image.thumbnail((_WIDEST, 4 * _WIDEST))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue(), image.size


def _title(stem: str) -> str:
    for start, title in _KINDS.items():
        if stem.startswith(start):
            return f"{title} ({stem})"
    return stem.replace("_", " ")
