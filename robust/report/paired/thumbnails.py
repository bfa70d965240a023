"""Thumbnails of the first test images come from the folders of runs: evaluations left them."""

import base64
import io
from typing import Any

from robust.report.protocols import Protocol
from robust.results.kept.sheets import COLUMNS, Sheet, sheet_path

_LARGEST = 400_000
"""Bytes that the thumbnail of a protocol may take."""


def thumbnail(protocol: Protocol) -> dict[str, Any] | None:
    """Return the first images of a protocol as one image, as any of its runs has them.

    Args:
        protocol: The protocol.

    Returns:
        ``url`` of the image, the ``columns`` in it, ``width`` and ``height`` of each in pixels, and
        their ``count``. None if no run has them, as after earlier versions.
    """
    for entry in protocol.entries:
        records, sha256 = entry.run.folder / "records", entry.evaluation.header.data_sha256
        try:
            sheet = Sheet.read(sheet_path(records, sha256))
        except (OSError, ValueError, SyntaxError):
            continue
        buffer = io.BytesIO()
        sheet.image().save(buffer, "WEBP", quality=85, method=4)
        if len(url := base64.b64encode(buffer.getvalue()).decode()) > _LARGEST:
            return None
        n, height, width, _ = sheet.x.shape
        return {
            "url": f"data:image/webp;base64,{url}",
            "columns": COLUMNS,
            "width": width,
            "height": height,
            "count": n,
        }
    return None
