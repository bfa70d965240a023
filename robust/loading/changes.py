"""Arguments of a trained defense that are changed when it is read back."""

import inspect
import json
from collections.abc import Mapping
from typing import Any

from robust.errors import ConfigError
from robust.loading.class_paths import imported
from robust.loading.trust import UntrustedError


def changed_model(model: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a defense with other arguments, if it has such arguments.

    Args:
        model: Its class path and arguments.
        changed: Values by key, such as ``temperature``. The key ``transform.seed`` is the argument
            ``seed`` of the class that is its transform.

    Raises:
        ConfigError: If there is no such class.
        UntrustedError: If the defense may not be imported.
    """
    accepted = _arguments_of(model["class_path"])
    own = {key: value for key, value in changed.items() if argument_of(key) in accepted}
    return {**model, "init_args": changed_arguments(model["init_args"], own)}


def changed_arguments(arguments: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with other values; keys and errors are those of `changed_model`."""
    result = dict(arguments)
    for key, value in changed.items():
        name, _, inner = key.partition(".")
        result[name] = _inside(result.get(name), name, {inner: value}) if inner else value
    return result


def argument_of(key: str) -> str:
    """Return the argument of the defense that a key begins with."""
    return key.partition(".")[0]


def _inside(described: object, name: str, changed: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(described, str):
        described = {"class_path": described}
    if not isinstance(described, Mapping) or "class_path" not in described:
        (inner,) = changed
        raise ConfigError(
            f"Expected `{name}` of the run to be a class with `{inner}`, but it is "
            f"{json.dumps(described, default=str):.40}. Give the class too: "
            f"--model.{name}={{class_path: ..., init_args: ...}}."
        )
    arguments = changed_arguments(described.get("init_args") or {}, changed)
    return {**described, "init_args": arguments}


def _arguments_of(class_path: str) -> set[str]:
    """Return the names of the arguments of a class; none if there is no such class."""
    try:
        return set(inspect.signature(imported(class_path)).parameters)
    except UntrustedError:
        raise
    except (ImportError, AttributeError, ValueError):
        return set()
