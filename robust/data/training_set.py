"""Training takes transformed images, alone or with the originals; they are kept on disk."""

import hashlib
import tempfile
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from robust.data.loaders import Positions
from robust.data.npz import read_arrays
from robust.data.samples import Pixels, Samples, in_memory
from robust.errors import ConfigError
from robust.io import files
from robust.io.text_files import expanded

_BATCH = 512
_PROBE = 8
"""So many transformed images are part of the key, so that changed code makes another set."""


@final
class TrainingSet:
    """A training set says which images a defense learns from: originals, transformed, or both.

    Wang et al. 2018, section 6 (https://arxiv.org/abs/1809.08516), train on the original images, on
    those after total variation minimization, and on their union. Each image is transformed once,
    not once an epoch, rounded to a byte, and written to a file beside the data that later runs
    read. The file's name hashes the images and the transform: its class, arguments, weights, and
    what it makes of the first images. A damaged file is written again. Validation and test images
    stay as they are.

    A transform that uses the global random state gets one of its own, seeded with 0. What a
    GPU makes may differ from a CPU's by one level.

    Args:
        transform: Images in [0, 1] to images of the same shape; in eval mode.
        mode: ``original``, ``transformed``, or ``original+transformed``, whose epochs have twice
            the steps. There, the transformed image i of n counts as sample n + i.
        cache: Folder of the files; ``transformed`` in the folder of the data if None.
    """

    def __init__(
        self,
        transform: nn.Module,
        mode: Literal["original", "transformed", "original+transformed"] = "original+transformed",
        cache: str | None = None,
    ) -> None:
        self.transform = transform
        self.mode = mode
        self.cache = cache

    def samples(self, originals: Samples, root: Path, device: torch.device) -> Samples:
        """Return the samples of the mode; the originals, if they are among them, come first.

        Args:
            originals: All training samples.
            root: Folder of the data.
            device: Where images that are not on disk are transformed.

        Raises:
            ConfigError: If the folder cannot be written, or the originals do not fit in memory.
                Also if the transform changes the shape or makes values that are not finite.
        """
        if self.mode == "original":
            return originals
        pixels = in_memory(originals.x, "the training images")
        n = len(originals.y)
        both = self.mode == "original+transformed"
        # One array: the data module keeps its first half in place of the originals.
        x = torch.empty((2 * n if both else n, *pixels.shape[1:]), dtype=torch.uint8)
        x[: len(x) - n] = pixels[: len(x) - n]
        x[len(x) - n :] = self._transformed(pixels, root, device)
        return Samples(x, torch.cat([originals.y] * (len(x) // n)))

    def positions(self, index: Positions, n: int) -> Positions:
        """Return the index in `samples` of those at ``index`` of ``n`` originals, in each form."""
        return torch.cat([index, index + n]) if self.mode == "original+transformed" else index

    def _transformed(self, x: Pixels, root: Path, device: torch.device) -> Pixels:
        folder = expanded(self.cache) if self.cache else root / "transformed"
        path = folder / f"{type(self.transform).__name__}_{self._key(x)}.npz"
        known = _read(path, tuple(x.shape))
        if known is not None:
            return known
        _check_writable(folder)
        name = type(self.transform).__name__
        rank_zero_info(f"{name} of {len(x)} training images, to be kept in {path}")
        made = self._apply(x, device)
        _write(path, made)
        return made

    def _key(self, x: Pixels) -> str:
        """Return 16 hex digits of the images and of what the transform does."""
        digest = hashlib.sha256(repr(tuple(x.shape)).encode())
        digest.update(x.numpy().tobytes())
        for name, module in self.transform.named_modules():
            plain = {
                key: value
                for key, value in sorted(vars(module).items())
                if key[0] != "_" and key != "training"
                if value is None or isinstance(value, str | int | float)
            }
            digest.update(f"{name}: {type(module).__qualname__} {plain}".encode())
        for name, value in self.transform.state_dict().items():
            digest.update(name.encode() + value.cpu().numpy().tobytes())
        digest.update(self._apply(x[:_PROBE], torch.device("cpu")).numpy().tobytes())
        return digest.hexdigest()[:16]

    def _apply(self, x: Pixels, device: torch.device) -> Pixels:
        transform = self.transform.eval().to(device)
        result = torch.empty_like(x)
        forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
        with forked, torch.no_grad():
            torch.manual_seed(0)
            for start in range(0, len(x), _BATCH):
                part = slice(start, start + _BATCH)
                # Divided on the CPU: CUDA's quotients may differ in the last bit.
                made = transform((x[part].float() / 255).to(device))
                _check(made, x[part], type(transform).__name__)
                result[part] = (made * 255).round().clamp(0, 255).to("cpu", torch.uint8)
        self.transform.cpu()
        return result


def _check(made: torch.Tensor, x: Pixels, name: str) -> None:
    if made.shape != x.shape:
        raise ConfigError(
            f"Expected images of shape {tuple(x.shape[1:])} from {name}, but got "
            f"{tuple(made.shape[1:])}. Choose a transform that keeps the shape."
        )
    if not made.isfinite().all():
        raise ConfigError(
            f"Expected finite pixels from {name}, but got some that are not. Fix its arguments."
        )


def _read(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    """Return what the file has; None if there is none, or it is damaged."""
    try:
        x = read_arrays(path, ["x"])["x"]  # reading compares a checksum
    except ConfigError:
        return None
    return torch.from_numpy(x) if x.shape == shape and x.dtype == np.uint8 else None


def _check_writable(folder: Path) -> None:
    """Raise before the minutes of work rather than after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from None


def _write(path: Path, x: Pixels) -> None:
    try:
        with files.replacing(path) as stream:
            np.savez(stream, x=x.numpy())
    except OSError as error:
        raise _unwritable(path.parent, error) from None


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"Expected to write transformed images to {folder}, but got: {error.strerror or error}. "
        "Name a writable folder with room as `data.init_args.training_set.init_args.cache`."
    )
