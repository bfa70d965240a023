"""Small folders of image files that a network can learn in a few steps."""

from pathlib import Path

import numpy as np
from PIL import Image


def image(label: int, i: int, size=(12, 10), mode="RGB") -> Image.Image:
    """Noise with one bright row a class; the same for the same arguments."""
    random = np.random.RandomState(97 * label + i)
    array = random.randint(0, 80, (size[1], size[0], 3))
    array[1 + label] += 150
    return Image.fromarray(array.astype(np.uint8)).convert(mode)


def write_folder(root: Path, parts=("train", "test"), classes=("ant", "bee"), n=6, **kinds) -> Path:
    """Write ``root/part/class/000.png``; an empty part is the root itself."""
    for part in parts:
        for label, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(n):
                image(label, i, **kinds).save(folder / f"{i:03}.png")
    return root
