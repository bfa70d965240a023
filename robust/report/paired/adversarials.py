"""Adversarial images that evaluations kept stand beside the clean ones of a page."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from robust.report.paired.pairs import SHOWN
from robust.report.paired.thumbnails import as_url
from robust.report.protocols import Entry, Protocol
from robust.results.kept.forms import decode
from robust.results.kept.sheets import Sheet
from robust.results.kept.stored import DAMAGE, Frame, kept_path, read_frames
from robust.results.rows import Column

_LARGEST = 600_000
"""Bytes that the images of a protocol may take, of which each run has the same share."""
_MOST_RUNS = 16
"""Of more runs the share would be a few images, and reading them would take seconds."""


class _Shown(NamedTuple):
    """An adversarial image.

    Args:
        image: uint8, (H, W, C).
        predicted: The class that it is taken for.
        attack: Number of the attack in its suite.
    """

    image: Column
    predicted: int
    attack: int


def adversarials(protocol: Protocol, sheet: Sheet | None) -> dict[str, dict[str, Any]]:
    """Return the kept adversarial images of each run as one image, and where each one stands.

    Args:
        protocol: The protocol.
        sheet: Its first clean images, from which some adversarial ones are kept as a difference.

    Returns:
        By run ``url`` of the image, and ``places``: by view and index the number of a tile, the
        class that it is taken for, and the number of the attack. A run without kept images is left
        out. There is nothing without clean images, or for more than 16 runs.
    """
    if sheet is None or len(protocol.entries) > _MOST_RUNS:
        return {}
    room = _LARGEST // len(protocol.entries)
    made = {entry.label: _packed(_found(entry, sheet), room) for entry in protocol.entries}
    return {label: packed for label, packed in made.items() if packed}


def _packed(found: dict[str, dict[int, _Shown]], room: int) -> dict[str, Any]:
    """Return images that fit, the first indices first."""
    ordered = sorted((index, view) for view, images in found.items() for index in images)
    while ordered:
        tiles = [found[view][index].image for index, view in ordered]
        url = as_url(Sheet(np.stack(tiles)))
        if len(url) <= room:
            places: dict[str, dict[int, list[int]]] = {view: {} for view in found}
            for number, (index, view) in enumerate(ordered):
                shown = found[view][index]
                places[view][index] = [number, shown.predicted, shown.attack]
            return {"url": url, "places": places}
        ordered = ordered[: len(ordered) // 2]
    return {}


def _found(entry: Entry, sheet: Sheet) -> dict[str, dict[int, _Shown]]:
    """Return, by view and index, the image of the first successful attack that kept one."""
    evaluation = entry.evaluation
    path = next(path for path, found in entry.run.evaluations.items() if found is evaluation)
    try:
        frames, _ = read_frames(kept_path(path))
    except OSError:  # as after earlier versions
        return {}
    found: dict[str, dict[int, _Shown]] = {view: {} for view in evaluation.views}
    frames = [frame for frame in frames if len(frame.index) <= evaluation.header.block]
    for view in evaluation.views:
        for number, (name, info) in enumerate(evaluation.header.attacks.items()):
            rows = evaluation.select(view, name)
            lost = rows.where(info.misclassified_within_eps(rows) & (rows["index"] < SHOWN))
            to = dict(zip(lost["index"].tolist(), lost["adv_pred"].tolist(), strict=True))
            for frame in frames:
                if view in frame.views and frame.attack == name:
                    for index, image in _images(frame, sheet):
                        if index in to:
                            found[view].setdefault(index, _Shown(image, to[index], number))
    return found


def _images(frame: Frame, sheet: Sheet) -> Iterator[tuple[int, Column]]:
    """Yield index and pixels of each image whose clean one is there."""
    _, h, w, c = sheet.x.shape
    clean = np.zeros((len(frame.index), c, h, w), np.float32)
    try:
        known = (frame.index >= 0) & (frame.index < len(sheet.x))
        clean[known] = sheet.x[frame.index[known]].transpose(0, 3, 1, 2) / np.float32(255)
        x_adv = decode(clean, frame.form, frame.images)
        pixels = np.rint(255 * x_adv.clip(0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)
    except (*DAMAGE, IndexError):  # images of another shape, or indices that are none
        return
    for i in np.flatnonzero(known).tolist():
        yield int(frame.index[i]), pixels[i]
