"""What jsonargparse lets pass: null for an argument that takes none, and keys that are no text."""

import types
from argparse import Action
from typing import Any, Union, get_args, get_origin

from jsonargparse._actions import _ActionConfigLoad

from robust.errors import ConfigError
from robust.io.names import check_name


def check_given(key: str, value: Any, action: Action) -> None:  # noqa: ANN401
    """Raise unless a value is one that its argument takes, as far as jsonargparse does not look.

    It takes null for "not given", and calls the class with it all the same.

    Args:
        key: Dotted key of the argument.
        value: What a file or a flag gives.
        action: The argument.

    Raises:
        ConfigError: With the key.
    """
    kinds = _kinds(getattr(action, "_typehint", Any))
    takes_null = action.default is None or not kinds.isdisjoint({type(None), Any, object})
    if value is None and (isinstance(action, _ActionConfigLoad) or not takes_null):
        raise ConfigError(
            f"Expected a value for `{key}`, but got null. Leave it out to have its default."
        )
    if isinstance(value, dict) and any(get_args(kind)[:1] == (str,) for kind in _mappings(kinds)):
        for name in value:
            if not isinstance(name, str):
                check_name(f"a key of `{key}`", name)


def _kinds(hint: Any) -> set[Any]:  # noqa: ANN401
    """A type, or those of which it is a union."""
    if get_origin(hint) in (Union, types.UnionType):
        return set().union(*(_kinds(part) for part in get_args(hint)))
    return {type(None) if hint is None else hint}


def _mappings(kinds: set[Any]) -> list[Any]:
    return [kind for kind in kinds if get_origin(kind) is dict]
