"""Thumbnails of the first test images come from the folders of runs: evaluations left them."""

import base64
import io
from typing import Any

from robust.report.protocols import Protocol
from robust.results.kept.sheets import COLUMNS, Sheet, sheet_path

_LARGEST = 400_000
"""Bytes that the thumbnail of a protocol may take."""


def first_images(protocol: Protocol) -> Sheet | None:
    """Return the first images of a protocol, as any of its runs has them.

    Args:
        protocol: The protocol.

    Returns:
        None if no run has them, as after earlier versions.
    """
    for entry in protocol.entries:
        records, sha256 = entry.run.folder / "records", entry.evaluation.header.data_sha256
        try:
            return Sheet.read(sheet_path(records, sha256))
        except (OSError, ValueError, SyntaxError):
            continue
    return None


def thumbnail(sheet: Sheet | None) -> dict[str, Any] | None:
    """Return images as one, for the page.

    Args:
        sheet: The images, if there are any.

    Returns:
        ``url`` of the image, the ``columns`` in it, ``width`` and ``height`` of each in pixels, and
        their ``count``. None without images, and if they are too large.
    """
    if sheet is None or len(url := as_url(sheet)) > _LARGEST:
        return None
    n, height, width, _ = sheet.x.shape
    return {"url": url, "columns": COLUMNS, "width": width, "height": height, "count": n}


def as_url(sheet: Sheet) -> str:
    """Return images as one, as a ``data:`` address."""
    buffer = io.BytesIO()
    sheet.image().save(buffer, "WEBP", quality=85, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
