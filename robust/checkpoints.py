"""Checkpoints describe themselves, and are read without executing anything in them."""

import hashlib
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor

from robust.checkpoint_bounds import check_bounds
from robust.errors import ConfigError, in_short
from robust.io.file_kinds import not_of_torch
from robust.io.names import printable

DESCRIPTION = "robust"
"""Under this key a checkpoint keeps ``{"model": {...}, "data": {...}}``, which rebuilds it."""


CHECKSUMS = "robust_checksums"
"""Under this key are checksums of each tensor of the ``state_dict`` and of each other key."""


NOTES = "robust_notes"
"""Key of the notes that were made when the network was read, as sentences."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of ours with ``weights_only=True``: tensors and plain values, never code.

    Its checksums are compared, if it has any. Else those of the parts of the zip file are, which
    find damage only.

    Raises:
        ConfigError: If the file is missing, truncated, damaged, not a checkpoint, or holds pickled
            code.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            f"Expected a checkpoint at {path}, but there is no such file. "
            "Name a run folder or a .ckpt file."
        )
    _check_kind(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ConfigError(
            f"Expected {path} to hold weights and plain values only, but it is no checkpoint or "
            "holds pickled code, which was not run. Use a checkpoint that train.py wrote."
        ) from None
    except Exception as error:
        # Bytes that are no pickle can end in any error.
        raise ConfigError(
            f"Expected a complete checkpoint at {path}, but it cannot be read "
            f"({in_short(error, kind=True)}). It may be truncated: copy it again or use "
            "another one."
        ) from None
    if not isinstance(checkpoint, dict) or not _are_weights(checkpoint.get("state_dict")):
        raise ConfigError(
            f"Expected a Lightning checkpoint at {path}, but it has no `state_dict`. Use one that "
            "train.py wrote, or say whose weights they are with --network and --data."
        )
    check_bounds(checkpoint, path)
    damaged = _damaged(checkpoint) if CHECKSUMS in checkpoint else _damaged_part(path)
    if damaged is not None:
        raise ConfigError(
            f"Expected {path} as it was written, but the checksum of {damaged} does not match. "
            "The file is damaged or was edited: copy it again, or train again."
        )
    return cast(dict[str, Any], checkpoint)


def _check_kind(path: Path) -> None:
    """Raise if the first bytes of a file are not those of any checkpoint.

    Raises:
        ConfigError: With what to name instead.
    """
    what = not_of_torch(path)
    if what is not None:
        raise ConfigError(
            f"Expected a checkpoint at {path}, but got {what}. Name a run folder or a .ckpt file."
        )


def description_of(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """Return ``model`` and ``data`` of a checkpoint, class paths with plain ``init_args``.

    Args:
        checkpoint: Its content.
        path: Where it lies, for the message.

    Raises:
        ConfigError: If it does not say, or says it in another form.
    """
    described = checkpoint.get(DESCRIPTION)
    parts = {key: _described(described, key) for key in ("model", "data")}
    if None in parts.values():
        raise ConfigError(
            f"Expected {path} to say which defense it is of, but it does not. Use one that "
            "train.py wrote, or say whose weights they are with --network and --data."
        )
    return parts


def _described(description: object, key: str) -> dict[str, Any] | None:
    part = description.get(key) if isinstance(description, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(part.get("class_path"), str):
        return None
    arguments = part.get("init_args", {})
    if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
        return None
    return {**part, "init_args": dict(arguments)}


def checksums(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to store under `CHECKSUMS`, so that later changes are found.

    It finds damage and careless edits. A forger who changes the checksums as well is not found.
    """
    sums: dict[str, Any] = {
        key: _checksum(value)
        for key, value in checkpoint.items()
        if key not in ("state_dict", CHECKSUMS)
    }
    weights = checkpoint["state_dict"]
    return {**sums, "state_dict": {name: _checksum(value) for name, value in weights.items()}}


def check_finite(weights: Mapping[str, Any], where: str) -> None:
    """Raise if a weight is infinite or no number.

    Args:
        weights: A ``state_dict``.
        where: Whose it is, for the message.

    Raises:
        ConfigError: With the name of the first such tensor.
    """
    for name, value in weights.items():
        if _is_dense(value) and not value.isfinite().all():
            wrong = int((~value.isfinite()).sum())
            raise ConfigError(
                f"Expected finite weights in {where}, but {wrong} of {value.numel()} values of "
                f"{name} are not. The training has diverged: lower the learning rate, or take an "
                "earlier checkpoint."
            )


def notes_of(checkpoint: Mapping[str, Any]) -> list[str]:
    """Return what a reader of numbers must know of their weights, as sentences."""
    kept = checkpoint.get(NOTES)
    texts = [note for note in kept if isinstance(note, str)] if isinstance(kept, list) else []
    notes = [printable(text)[:_LONGEST_NOTE] for text in texts[:_MOST_NOTES]]
    if _steps(checkpoint) == 0:
        notes.append(UNTRAINED)
    if CHECKSUMS not in checkpoint:
        notes.append("unchecked: its checkpoint has no checksums, as from an earlier version.")
    return notes


_MOST_NOTES, _LONGEST_NOTE = 10, 300
"""Notes and characters of each that are shown; a file may hold any."""


UNTRAINED = "untrained: no optimizer step was taken, so these are numbers of random weights."


def furthest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with the most optimizer steps in a run's folder; None without any.

    Raises:
        ConfigError: If one of them cannot be read.
    """
    steps = {path: steps_of(path) for path in (folder / "checkpoints").glob("*.ckpt")}
    # Of two, the one of the end of an epoch: the scheduler and the defense have seen that.
    return max(steps, key=lambda path: (steps[path], path.stem == "last"), default=None)


def steps_of(path: Path) -> int:
    """Return the optimizer steps before a checkpoint; -1 if it does not say.

    Raises:
        ConfigError: If it cannot be read.
    """
    return _steps(read_checkpoint(path))


def _steps(checkpoint: Mapping[str, Any]) -> int:
    steps = checkpoint.get("global_step")
    return steps if isinstance(steps, int) else -1


def _are_weights(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _damaged(checkpoint: Mapping[str, Any]) -> str | None:
    """Return what of a checkpoint is not as it was written; None if all is.

    Missing keys, such as the optimizer's, are no damage; missing weights are.
    """
    stored, found = checkpoint[CHECKSUMS], checksums(checkpoint)
    if not isinstance(stored, dict) or not isinstance(stored.get("state_dict"), dict):
        return "its weights"
    before, now = stored["state_dict"], found["state_dict"]
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            return str(name)
    needed = {key for key in (DESCRIPTION,) if key in stored}
    for key, value in stored.items():
        if (key in found or key in needed) and found.get(key) != value:
            return f"`{key}`"
    return None


def _damaged_part(path: Path) -> str | None:
    """Return the first part of a zip file whose CRC-32 does not match; torch ignores it."""
    try:
        with zipfile.ZipFile(path) as file:
            damaged: str | None = file.testzip()
            return damaged
    except zipfile.BadZipFile as error:
        return None if "not a zip file" in str(error) else "its zip archive"
    except (OSError, ValueError, RuntimeError, zlib.error, EOFError, NotImplementedError):
        return "its zip archive"


def _is_dense(value: object) -> TypeGuard[Tensor]:
    dense = isinstance(value, Tensor) and value.layout is torch.strided
    return dense and not cast(Tensor, value).is_quantized


def _checksum(value: object) -> str:
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, value: object) -> None:
    """Add a value with its type and shape, the same before writing and after reading."""
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        if _is_dense(value):
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        digest.update(f"{{{len(value)}".encode())
        for pair in value.items():
            _add(digest, pair)
    elif isinstance(value, list | tuple):
        digest.update(f"[{len(value)}".encode())
        for item in value:
            _add(digest, item)
    elif value is None or isinstance(value, bool | int | float | str):
        digest.update(f"{type(value).__name__}:{value!r};".encode(errors="surrogatepass"))
