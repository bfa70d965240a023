"""Checkpoints that describe themselves, read without executing anything in them."""

import pickle
from pathlib import Path
from typing import Any, cast

import torch

from robust.errors import ConfigError

DESCRIPTION = "robust"
"""Key under which a checkpoint keeps ``{"model": {...}, "data": {...}}``, what rebuilds it."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of ours with ``weights_only=True``: tensors and plain values, never code.

    Raises:
        ConfigError: If the file is missing, truncated, not a checkpoint, or holds pickled code.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            f"Expected a checkpoint at {path}, but there is no such file. "
            "Name a run folder or a .ckpt file."
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ConfigError(
            f"Expected {path} to hold weights and plain values only, but it is no checkpoint or "
            "holds pickled code, which was not run. Use a checkpoint that train.py wrote."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"Expected a whole checkpoint at {path}, but it cannot be read "
            f"({_first_line(error)}). It may be truncated: copy it again or use another one."
        ) from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ConfigError(
            f"Expected a Lightning checkpoint at {path}, but it has no `state_dict`. "
            "Use a checkpoint that train.py wrote."
        )
    return cast(dict[str, Any], checkpoint)


def furthest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most optimizer steps in the folder of a run; None without any.

    Raises:
        ConfigError: If one of them cannot be read.
    """
    steps = {path: steps_of(path) for path in (folder / "checkpoints").glob("*.ckpt")}
    # Of two, the one of the end of an epoch: the scheduler and the defense have seen that.
    return max(steps, key=lambda path: (steps[path], path.stem == "last"), default=None)


def steps_of(path: Path) -> int:
    """Optimizer steps before a checkpoint; -1 if it does not say.

    Raises:
        ConfigError: If it cannot be read.
    """
    return int(read_checkpoint(path).get("global_step", -1))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
