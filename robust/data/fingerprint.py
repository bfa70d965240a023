"""Hashes of the samples that are attacked, so that records of other images never mix."""

import hashlib

from torch import Tensor

from robust.data.samples import Pixels, Samples, StoredImages


def content_of(x: Pixels | StoredImages, stop: int) -> bytes:
    """Return what decides the pixels of the first ``stop`` images: all of them, or their digest.

    Raises:
        ConfigError: If one of them cannot be read.
    """
    return x.digest(stop) if isinstance(x, StoredImages) else x[:stop].numpy().tobytes()


def fingerprint(samples: Samples, stop: int, *others: Tensor) -> str:
    """Return 16 hex digits of the first ``stop`` samples.

    Of images in memory each byte of a pixel counts; of image files each byte of a file, and how it
    is decoded.

    Args:
        samples: The samples.
        stop: How many count.
        others: What else does.

    Raises:
        ConfigError: If an image cannot be read.
    """
    digest = hashlib.sha256(repr((stop, *samples.x.shape[1:])).encode())
    digest.update(content_of(samples.x, stop))
    for column in (samples.y[:stop], *others):
        digest.update(column.numpy().tobytes())
    return digest.hexdigest()[:16]
