"""What somebody passes to a call from Python: known names, and values of the right types.

Python itself would end in a TypeError, or take the value and fail elsewhere.
"""

import difflib
import functools
import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from robust.errors import ConfigError

_LONGEST = 60
_WORDS = {
    int: "an integer",
    float: "a number",
    str: "a text",
    bool: "True or False",
    type(None): "None",
    Path: "a path",
    Mapping: "a mapping",
}
_Other = Callable[[], Iterable[str]]


def checked_constructor(
    kind: type, also: Callable[[Mapping[str, Any]], None] | None = None
) -> None:
    """Let a class check the arguments of its constructor.

    Args:
        kind: The class.
        also: Checks the arguments further, once their types are right.
    """
    original = vars(kind)["__init__"]

    @functools.wraps(original)
    def build(self: object, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        given = check_arguments(original, type(self).__name__, (self, *args), kwargs)
        if also is not None:
            also(given)
        original(self, *args, **kwargs)

    setattr(kind, "__init__", build)  # noqa: B010 (a method, to mypy)


def check_arguments(
    function: Callable[..., Any],
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    others: _Other = tuple,
    skip: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the arguments of a call by their names.

    Args:
        function: What is called.
        name: What messages call it.
        args: Positional arguments.
        kwargs: Named arguments.
        others: Names that ``**`` takes, asked for where one is unknown.
        skip: Arguments whose values the function checks itself.

    Raises:
        ConfigError: If an argument is unknown, missing or of another type.
    """
    signature = inspect.signature(function)
    _check_names(signature, name, kwargs, others)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise _unbound(str(error), name, signature) from None
    hints = _hints(function)
    for key, value in given.items():
        kind = signature.parameters[key].kind
        plain = kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        if plain and key in hints and key not in skip:
            check_type(key, value, hints[key])
    return given


def check_type(key: str, value: object, hint: Any) -> None:  # noqa: ANN401
    """Raise unless a value is of a type, as far as that can be told.

    Args:
        key: The argument, for the message.
        value: What was given.
        hint: Its annotation.

    Raises:
        ConfigError: With what was expected, and the nearest word where that is one of a few.
    """
    if _fits(value, hint):
        return
    words = value if isinstance(value, list | tuple) else [value]
    nears = [near for word in words if (near := _near(str(word), list(_choices(hint))))]
    near = nears[0] if nears else _call(value, hint)
    raise ConfigError(f"Expected `{key}` to be {_words(hint)}, but got {_shown(value)}.{near}")


def _check_names(
    signature: inspect.Signature, name: str, kwargs: Mapping[str, Any], others: _Other
) -> None:
    parameters = signature.parameters.values()
    known = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name != "self"]
    takes_all = len(known) + ("self" in signature.parameters) < len(parameters)
    unknown = [key for key in kwargs if key not in known]
    more = list(others()) if unknown and takes_all else []
    for key in unknown:
        if not takes_all or (more and key not in more):
            # An own argument comes first, unless another one is nearly the same word.
            near = _near(key, more, _SAME) or _near(key, known) or _near(key, more)
            near = near or f" It takes: {_listed(signature)}."
            raise ConfigError(f"There is no argument `{key}` of {name}.{near}")


_SAME = 0.9


def _unbound(error: str, name: str, signature: inspect.Signature) -> ConfigError:
    missing = re.search(r"missing a required argument: '(\w+)'", error)
    if missing:
        return ConfigError(f"Expected a value for `{missing[1]}` of {name}, but got none. Give it.")
    return ConfigError(f"{name}: {error}. It takes: {_listed(signature)}.")


def _listed(signature: inspect.Signature) -> str:
    return ", ".join(name for name in signature.parameters if name != "self") or "none"


@functools.cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError):  # an annotation that only a type checker understands
        return {}


def _parts(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Return the types of which one is a union; else itself."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(part for inner in get_args(hint) for part in _parts(inner))
    return (hint,)


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401
    return any(_fits_one(value, part) for part in _parts(hint))


def _fits_one(value: object, hint: Any) -> bool:  # noqa: ANN401
    origin, inner = get_origin(hint), get_args(hint)
    if hint in (int, float):
        kind = Integral if hint is int else Real
        return isinstance(value, kind) and not isinstance(value, bool)
    if origin is Literal:
        return isinstance(value, str | int | None) and value in inner
    if hint is Callable or origin is Callable:
        return _builds(value, inner[-1] if inner else None)
    if isinstance(origin, type) and issubclass(origin, Sequence) and origin is not tuple:
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        return is_list and all(_fits(part, inner[0]) for part in value)  # type: ignore[attr-defined]
    found = origin or hint
    return not _is_plain_class(found) or isinstance(value, found)


def _is_plain_class(kind: Any) -> bool:  # noqa: ANN401
    """Whether ``isinstance`` can be asked; shapes of tensors are checked elsewhere."""
    is_class = isinstance(kind, type) and kind is not Any
    return is_class and not kind.__module__.startswith("jaxtyping")


def _builds(value: object, built: Any) -> bool:  # noqa: ANN401
    """Whether a value can be called; what it should build was perhaps given instead."""
    return callable(value) and not (_is_plain_class(built) and isinstance(value, built))


def _choices(hint: Any) -> Iterable[str]:  # noqa: ANN401
    for part in _parts(hint):
        for inner in get_args(part):
            if get_origin(part) is Literal:
                yield str(inner)
            elif part is not inner:
                yield from _choices(inner)


def _words(hint: Any) -> str:  # noqa: ANN401
    parts = _parts(hint)
    return " or ".join(dict.fromkeys(_word(part, parts) for part in parts))


def _word(hint: Any, beside: Sequence[Any] = ()) -> str:  # noqa: ANN401
    origin, inner = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint]
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if hint is Callable or origin is Callable:
        return "a class or a function"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return "a list of " + ("them" if inner[0] in beside else _words(inner[0]))
    found = origin or hint
    return _WORDS.get(found) or f"a {getattr(found, '__name__', found)}"


def _shown(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, str | int | float | list | tuple | dict):
        text = " ".join(repr(value).split())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return f"{type(value).__name__}"


def _call(value: object, hint: Any) -> str:  # noqa: ANN401
    """Say what to do with a class where its object is wanted, or the other way round."""
    kinds = [part for part in _parts(hint) if _is_plain_class(part)]
    if isinstance(value, type) and any(issubclass(value, kind) for kind in kinds):
        return f" Call it: {value.__name__}(...)."
    built = [get_args(part)[-1] for part in _parts(hint) if get_origin(part) is Callable]
    if any(_is_plain_class(kind) and isinstance(value, kind) for kind in built):
        return f" Give the class {type(value).__name__}, or functools.partial of it."
    return ""


def _near(name: str, names: Sequence[str], cutoff: float = 0.6) -> str:
    lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)
    return f" Did you mean {lower[close[0]]}?" if close else ""
