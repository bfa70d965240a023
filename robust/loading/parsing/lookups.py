"""What jsonargparse looks up most is found at once while one of our parsers works.

It asks for the same arguments, keys and classes thousands of times, and goes through all of them
each time. That is a third of the time that a command line takes.
"""

import contextlib
import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from jsonargparse import Namespace, _core, _subcommands, _util, typing

_FIND: Any = getattr(_subcommands, "find_action_and_subcommand", None)
_PARSE_KEY: Any = getattr(Namespace, "_parse_key", None)
_PATH: Any = getattr(_util, "get_import_path", None)
_EMPTY: Any = Namespace()  # type: ignore[no-untyped-call]
_indexes: dict[Any, tuple[int, dict[str, list[Any]]]] = {}
_paths: dict[type, str | None] = {}
_active: list[bool] = []


@contextlib.contextmanager
def faster() -> Iterator[None]:
    """Have jsonargparse use our look-ups meanwhile, then again its own."""
    if _active:  # within another call of ours
        yield
        return
    _active.append(True)
    try:
        for place, name, _, own in _OURS:
            setattr(place, name, own)
        yield
    finally:
        for place, name, usual, _ in _OURS:
            setattr(place, name, usual)
        for kept in (_active, _indexes, _paths):
            kept.clear()


def _find(parser: Any, dest: str, exclude: Any = None) -> Any:  # noqa: ANN401
    """`find_action_and_subcommand`, which is given only the arguments of that name."""
    if getattr(parser, "_subparsers", None) is not None:  # for theirs, it comes back here
        return _FIND(parser, dest, exclude=exclude)
    size, index = _indexes.get(parser, (-1, {}))
    if size != len(parser._actions):
        index = _index(parser._actions)
        _indexes[parser] = len(parser._actions), index
    return _FIND(SimpleNamespace(_actions=index.get(dest, [])), dest, exclude=exclude)


def _index(actions: list[Any]) -> dict[str, list[Any]]:
    """Arguments by each of their names, in their order."""
    index: dict[str, list[Any]] = {}
    for action in actions:
        flags = (flag[2:] for flag in action.option_strings if flag.startswith("--"))
        for name in {action.dest, *flags}:
            index.setdefault(name, []).append(action)
    return index


def _parse_key(namespace: Any, key: Any) -> Any:  # noqa: ANN401
    """`Namespace._parse_key`, which has the messages for keys that are none."""
    parts = _split(key) if type(key) is str else None
    place = namespace
    for name in parts[1] if parts else ():
        if type(place) is not Namespace:
            break
        place = vars(place).get(name)
    if parts is None or type(place) is not Namespace:
        return _PARSE_KEY(namespace, key)
    return parts[0], place, parts[2]


@functools.lru_cache(1 << 14)
def _split(key: str) -> tuple[str, tuple[str, ...], str] | None:
    """Split a key as jsonargparse does; None if it is none."""
    names = key.split(".")
    if "" in names or " " in key:
        return None
    # A name that a namespace has a method for gets a mark.
    *parents, leaf = (str(_PARSE_KEY(_EMPTY, name)[0]) for name in names)
    return leaf, tuple(parents), ".".join(parents)


def _import_path(value: Any) -> Any:  # noqa: ANN401
    """`get_import_path`, remembered for classes."""
    if not isinstance(value, type):
        return _PATH(value)
    if value not in _paths:
        _paths[value] = _PATH(value)
    return _paths[value]


_OURS: tuple[tuple[Any, str, Any, Any], ...] = tuple(
    (place, name, usual, own)
    for place, name, usual, own in (
        (_subcommands, "find_action_and_subcommand", _FIND, _find),
        (_core, "find_action_and_subcommand", _FIND, _find),
        (Namespace, "_parse_key", _PARSE_KEY, _parse_key),
        (_util, "get_import_path", _PATH, _import_path),
        (typing, "get_import_path", _PATH, _import_path),
    )
    # A version in which one of them has another name or place works as it is.
    if usual is not None and getattr(place, name, None) is usual
)
"""Functions of jsonargparse, and ours that answer the same."""
