"""The first clean images of a data set are one PNG beside the records, so that a page shows them.

A page of runs opens no data set. The images stand in rows of `COLUMNS`. A text in the file has
their number, height and width.
"""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from robust.io import files
from robust.results.rows import Column

COLUMNS = 8
_KEY = "images"
_LARGEST = 1 << 24
"""Bytes of a file at most."""
_PIXELS = 1 << 21
"""Pixels of a column of images at most, of which `COLUMNS` make a sheet."""


class Sheet(NamedTuple):
    """A sheet holds images in rows of `COLUMNS`.

    Args:
        x: uint8, (N, H, W, C), where C is 1 or 3.
    """

    x: Column

    def image(self) -> Image.Image:
        """Return all of them as one image."""
        n, h, w, c = self.x.shape
        rows = -(-n // COLUMNS)
        tiles = np.zeros((rows * COLUMNS, h, w, c), dtype=np.uint8)
        tiles[:n] = self.x
        stacked = tiles.reshape(rows, COLUMNS, h, w, c).transpose(0, 2, 1, 3, 4)
        pixels = stacked.reshape(rows * h, COLUMNS * w, c)
        return Image.fromarray(pixels[:, :, 0] if c == 1 else pixels)

    def write(self, path: Path) -> None:
        """Write them as a file.

        Raises:
            OSError: If it cannot be written.
        """
        n, h, w, _ = self.x.shape
        info = PngInfo()
        info.add_text(_KEY, f"{n} {h} {w}")
        buffer = io.BytesIO()
        self.image().save(buffer, "PNG", pnginfo=info)
        files.write(path, buffer.getvalue())

    @staticmethod
    def read(path: Path) -> "Sheet":
        """Return the images of a file.

        Raises:
            OSError: If it cannot be read, or is no image.
            ValueError: If it is no such sheet.
        """
        content = io.BytesIO(files.read(path, _LARGEST))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                opened = Image.open(content, formats=["PNG"])
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(str(error)) from None
        with opened:
            n, h, w = map(int, str(getattr(opened, "text", {}).get(_KEY, "")).split())
            rows = -(-n // COLUMNS)
            # Before a small file becomes pixels that fill the memory.
            if min(n, h, w) < 1 or opened.size != (COLUMNS * w, rows * h) or rows * h * w > _PIXELS:
                raise ValueError(f"{n} images of {h} x {w} do not fit it")
            pixels = np.asarray(opened.convert("L" if opened.mode == "L" else "RGB"))
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        tiles = pixels.reshape(rows, h, COLUMNS, w, -1).transpose(0, 2, 1, 3, 4)
        return Sheet(tiles.reshape(rows * COLUMNS, h, w, -1)[:n])


def sheet_path(records: Path, data_sha256: str) -> Path:
    """Return the file of the first images of a data set, in a folder of records."""
    return records / f"images-{data_sha256}.png"
