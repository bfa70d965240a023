"""A callback, a logger or a network that somebody else wrote answers for what it raises."""

import contextlib
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from torch import Tensor, nn

from robust.errors import NO_ROOM, ConfigError, in_short, raised_in, unusable_path

_NAMES = ("self", "callback", "logger")
"""What Lightning and torch call an object of which they call a method."""
_TOLD = (ConfigError, MisconfigurationException, BrokenPipeError, torch.OutOfMemoryError)
"""Errors that say more by themselves."""


@contextlib.contextmanager
def failures_told(trainer: Trainer, defense: nn.Module) -> Iterator[None]:
    """While a trainer works: what was given to it, and fails, is the user's to fix.

    Args:
        trainer: Its callbacks, its loggers and its profiler may be of a config.
        defense: Its ``network`` and its ``transform`` may be, too.

    Raises:
        ConfigError: If such an object raised an error, with its class.
    """
    try:
        yield
    except _TOLD:
        raise
    except Exception as error:
        told = None if _says_more(error) else _told(error, trainer, defense)
        if told is None:
            raise
        raise ConfigError(told) from error


def _says_more(error: Exception) -> bool:
    """Return whether Lightning itself refuses something, or a disk or a path does."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM or unusable_path(error) is not None
    return isinstance(error, ValueError | RuntimeError) and raised_in(error, "lightning.")


def _told(error: Exception, trainer: Trainer, defense: nn.Module) -> str | None:
    """Return what is wrong with the object in whose code the error was raised, if it was given."""
    given = _given(trainer, defense)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        for value in (frame.f_locals.get(name) for name in _NAMES):
            if value is defense:
                return None
            if value is None or id(value) not in given:
                continue
            key = given[id(value)]
            if type(value).__module__.startswith("robust."):
                return None
            if key == "network":
                return _of_network(error, value, frames)
            return (
                f"Expected {type(value).__name__} of `trainer.{key}` to work, but its "
                f"{frame.f_locals.get('hook_name', frame.f_code.co_name)} failed "
                f"({in_short(error, kind=True)}). Fix it, or leave it out."
            )
    return None


def _given(trainer: Any, defense: Any) -> Mapping[int, str]:  # noqa: ANN401
    """Return what may be of a config, by its id, with where it was given."""
    network = getattr(defense, "network", None)
    inner, transform = getattr(network, "network", None), getattr(defense, "transform", None)
    known = {
        "callbacks": trainer.callbacks,
        "logger": trainer.loggers,
        "profiler": [trainer.profiler],
        # A network from elsewhere is within one of ours.
        "network": [network, inner, transform],
    }
    return {id(value): key for key, values in known.items() for value in values}


def _of_network(error: Exception, network: nn.Module, frames: Sequence[FrameType]) -> str:
    calls = (f.f_locals.get("args", ()) for f in frames if f.f_locals.get("self") is network)
    images = next((a for args in calls for a in args if isinstance(a, Tensor)), torch.empty(0))
    name, mode = type(network).__name__, "train" if network.training else "eval"
    return (
        f"Expected {name} to take batches of any size, but of {len(images)} images in {mode} mode "
        f"it fails ({in_short(error)}). Fix it, or choose another batch size."
    )
