"""What the browser needs to compare any two runs: which images each classifies correctly."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robust.report.protocols import Entry, Protocol
from robust.results.comparing.against import CLEAN
from robust.results.comparing.paired import EVERY, Images, clean_images, robust_images
from robust.results.rows import Column

SHOWN = 64
"""Of so many images, the first, the page has thumbnails and predictions."""


def pairing(protocol: Protocol) -> dict[str, Any]:
    """Return the images of a protocol and, for each run, which of them it classifies correctly.

    Columns of images are bits in base64, the first image in the highest bit.
    """
    right = {entry.label: _right(entry) for entry in protocol.entries}
    index = np.unique(np.concatenate([images[CLEAN].index for images in right.values()]))
    return {
        "index": index.tolist(),
        "runs": {
            label: {
                "has": bits(np.isin(index, images[CLEAN].index)),
                "right": {what: bits(_on(index, column)) for what, column in images.items()},
            }
            for label, images in right.items()
        },
        "first": {entry.label: _predictions(entry) for entry in protocol.entries},
        "labels": _labels(protocol.entries),
        "attacks": protocol.attacks,
    }


def bits(column: Column) -> str:
    """Return a column of booleans as bits in base64."""
    return base64.b64encode(np.packbits(column).tobytes()).decode()


def _right(entry: Entry) -> dict[str, Images]:
    """Return which images are classified correctly, clean and through each view."""
    evaluation = entry.evaluation
    robust = {view: robust_images(evaluation, view) for view in evaluation.views}
    every = {EVERY: robust_images(evaluation)} if len(robust) > 1 else {}
    return {CLEAN: clean_images(evaluation), **robust, **every}


def _on(index: Column, images: Images) -> Column:
    return np.isin(index, images.index[images.right])


def _labels(entries: Sequence[Entry]) -> dict[int, int]:
    """Return the class of each of the first images."""
    found: dict[int, int] = {}
    for entry in entries:
        rows = entry.evaluation.rows.where(entry.evaluation.rows["index"] < SHOWN)
        found.update(zip(rows["index"].tolist(), rows["label"].tolist(), strict=True))
    return found


def _predictions(entry: Entry) -> Mapping[str, Mapping[int, list[int]]]:
    """Return, by view and image, which class the first successful attack leads to, and its number.

    Under ``clean`` it is the predicted class of images that are wrong without an attack.
    """
    found: dict[str, dict[int, list[int]]] = {CLEAN: _mistakes(entry)}
    attacks = list(entry.evaluation.header.attacks.items())
    for view in entry.evaluation.views:
        led = found.setdefault(view, {})
        for number, (name, info) in enumerate(attacks):
            rows = entry.evaluation.select(view, name)
            lost = rows.where(info.misclassified_within_eps(rows) & (rows["index"] < SHOWN))
            for index, to in zip(lost["index"].tolist(), lost["adv_pred"].tolist(), strict=True):
                led.setdefault(index, [to, number])
    return found


def _mistakes(entry: Entry) -> dict[int, list[int]]:
    rows = entry.evaluation.rows
    wrong = rows.where((rows["clean_pred"] != rows["label"]) & (rows["index"] < SHOWN))
    return {
        index: [predicted]
        for index, predicted in zip(
            wrong["index"].tolist(), wrong["clean_pred"].tolist(), strict=True
        )
    }
