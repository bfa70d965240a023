"""Adversarial images in the smallest form that loses no success.

An image whose pixels are multiples of 1/255 is kept as uint8, exactly. Of another one its
difference from the clean image is kept in float16. That is rounded toward zero, so that the image
leaves neither its budget nor [0, 1]. Where that rounding would lose the success, the image is kept
in float32.
"""

from collections.abc import Callable, Mapping

import numpy as np

from robust.results.rows import Column

FORMS = ("uint8", "float16", "float32")
Scored = Callable[[Column, Column], Column]
"""Returns which of some images are still misclassified; the second argument says which they are."""


def encode(x: Column, x_adv: Column, is_success: Scored) -> tuple[Column, dict[str, Column]]:
    """Return the form of each image, as an index into `FORMS`, and the images of each form.

    Args:
        x: Clean images, float32 in [0, 1].
        x_adv: Adversarial images of them.
        is_success: Asked about the images as they would be read back.
    """
    pixels = np.rint(x_adv * 255).astype(np.uint8)
    exact = (_from_pixels(pixels) == x_adv).reshape(len(x), -1).all(axis=1)
    deltas = _toward_zero(x_adv.astype(np.float64) - x)
    form = np.where(exact, 0, 1).astype(np.int8)
    rest = form == 1
    if rest.any():
        form[rest] = np.where(is_success(_from_deltas(x, deltas)[rest], rest), 1, 2)
    images = {"uint8": pixels, "float16": deltas, "float32": x_adv.astype(np.float32)}
    return form, {name: images[name][form == i] for i, name in enumerate(FORMS)}


def decode(x: Column, form: Column, images: Mapping[str, Column]) -> Column:
    """Return adversarial images, float32.

    Args:
        x: The clean images.
        form: As `encode` returns it.
        images: As `encode` returns them.

    Raises:
        ValueError: If they do not fit each other.
    """
    if form.shape != (len(x),) or not np.isin(form, range(len(FORMS))).all():
        raise ValueError("forms that are none")
    x_adv = np.array(x, dtype=np.float32)
    for i, name in enumerate(FORMS):
        own = form == i
        part = images[name]
        if part.dtype != name or part.shape != (int(own.sum()), *x.shape[1:]):
            raise ValueError(f"images in {name} that do not fit")
        x_adv[own] = _READ[name](x[own], part)
    return x_adv


def _toward_zero(deltas: Column) -> Column:
    rounded = deltas.astype(np.float16)
    beyond = np.abs(rounded.astype(np.float64)) > np.abs(deltas)
    rounded[beyond] = np.nextafter(rounded[beyond], np.float16(0))
    return rounded


def _from_pixels(pixels: Column) -> Column:
    return pixels.astype(np.float32) / np.float32(255)


def _from_deltas(x: Column, deltas: Column) -> Column:
    return (x.astype(np.float64) + deltas).astype(np.float32)


_READ: Mapping[str, Callable[[Column, Column], Column]] = {
    "uint8": lambda x, pixels: _from_pixels(pixels),
    "float16": _from_deltas,
    "float32": lambda x, images: images,
}
