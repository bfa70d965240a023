"""Objects are described by class paths and arguments, as in checkpoints and configs."""

import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from robust.errors import ConfigError
from robust.networks.arguments import given_arguments

_OF_TRAINING = ("optimizer", "scheduler")
"""These arguments say how a defense was trained, and are not needed to restore it."""


def description(described: object) -> dict[str, Any]:
    """Return what builds an object again: ``class_path`` and ``init_args`` of plain values.

    Arguments are those that the object was given where its class remembers them, else its
    attributes of the same names.

    Args:
        described: A defense, a network, a transform or a data module.

    Raises:
        ConfigError: If the object says of an argument neither, or its class has no name.
    """
    kind = type(described)
    arguments = given_arguments(described)
    arguments = _attributes(described) if arguments is None else arguments
    plain = {
        key: _plain(value, kind, key) for key, value in arguments.items() if key not in _OF_TRAINING
    }
    return {"class_path": _path(kind), "init_args": plain}


def _attributes(described: object) -> dict[str, Any]:
    kind = type(described)
    named = inspect.signature(kind).parameters
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in named.values()):
        raise ConfigError(
            f"Expected an object that can be saved, but got a {kind.__name__}, which does not keep "
            "what it was built from. Build it in a class of your own, in a module, and save one of "
            "that."
        )
    lacking = [name for name in named if not hasattr(described, name)]
    if lacking:
        raise ConfigError(
            f"Expected a {kind.__name__} that can be described, but it keeps no `{lacking[0]}`. "
            "Let its constructor store each argument under its own name."
        )
    return {name: getattr(described, name) for name in named}


def _plain(value: Any, kind: type, key: str) -> Any:  # noqa: ANN401
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(part, kind, key) for part in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(part, kind, key) for name, part in value.items()}
    if isinstance(value, partial):
        # jsonargparse, too, makes one, in which the class is an argument.
        built = [part for part in (value.func, *value.args) if inspect.isclass(part)]
        if len(built) == 1:
            arguments = {name: _plain(part, kind, name) for name, part in value.keywords.items()}
            return {"class_path": _path(built[0]), "init_args": arguments}
    if inspect.isclass(value):
        return {"class_path": _path(value)}
    if inspect.isroutine(value) or isinstance(value, partial):
        raise ConfigError(
            f"Expected a class or functools.partial of one as `{key}` of {kind.__name__}, but got "
            "a function. Nothing else can be saved."
        )
    if isinstance(value, Tensor | np.ndarray | np.generic):
        raise ConfigError(
            f"Expected plain numbers as `{key}` of {kind.__name__}, but got "
            f"{type(value).__name__}. Keep it in another attribute, or give a list."
        )
    return description(value)


def _path(kind: type) -> str:
    if "<" in kind.__qualname__ or kind.__module__ == "__main__":
        raise ConfigError(
            f"Expected a class that a file can name, but got {kind.__name__}, which is defined in "
            "a script, a notebook or a function. Put it into a module."
        )
    return f"{kind.__module__}.{kind.__qualname__}"
