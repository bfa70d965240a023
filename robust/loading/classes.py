"""What is to be known of a class that a config or a table names: by importing it, or from source.

Importing a defense takes the seconds of torch, and executes what a file names. Where neither is
wanted, `kind_in_source` reads the files of this package instead.
"""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from robust.errors import ConfigError
from robust.loading.class_paths import imported
from robust.loading.moved import current
from robust.loading.trust import UntrustedError, is_class_path

_PACKAGE = "robust"
_UNREAD = object()
"""The default of an argument whose source is no plain value; it equals nothing."""


class Kind(NamedTuple):
    """A class.

    Args:
        name: Module and name of where it is defined, however it was named.
        ancestors: Names of itself and of what it derives from.
        defaults: Of its arguments; `inspect.Parameter.empty` where there is none. None if the
            arguments are not known.
    """

    name: str
    ancestors: frozenset[str]
    defaults: Mapping[str, Any] | None


KindOf = Callable[[str], Kind]
"""From a class path. Raises ConfigError if there is no such class."""


def imported_kind(path: str, where: object = "") -> Kind:
    """The class that a path names, which is imported.

    Args:
        path: The class path.
        where: The file that names it, for the message.

    Raises:
        UntrustedError: If it may not be imported.
        ConfigError: If it names none.
    """
    try:
        kind = imported(path, where)
    except UntrustedError:
        raise
    except (ImportError, AttributeError, ValueError) as error:
        raise _no_class(path, f" ({error}). See robust.defenses.") from None
    if not isinstance(kind, type):
        raise _no_class(path, ". Name a class.")
    names = [f"{c.__module__}.{c.__qualname__}" for c in kind.__mro__]
    defaults = {key: p.default for key, p in inspect.signature(kind).parameters.items()}
    return Kind(names[0], frozenset(names), defaults)


@cache
def kind_in_source(path: str) -> Kind:
    """The class of this package that a path names, as its source says; nothing is imported.

    A class of another package is what it is called, of no known arguments. A default that is no
    plain value, such as a lambda, is not read.

    Raises:
        ConfigError: If this package has no such class.
    """
    if not is_class_path(path):
        raise _no_class(path, ". Name a class.")
    path = current(path)
    if not path.startswith(f"{_PACKAGE}."):
        return Kind(path, frozenset({path}), None)
    module, _, name = path.rpartition(".")
    found = _defined(module, name)
    if found is None:
        raise _no_class(path, ". See robust.defenses.")
    module, body = found
    bases = [kind_in_source(base) for base in _bases(module, body)]
    own = f"{module}.{body.name}"
    ancestors = frozenset({own}).union(*(base.ancestors for base in bases))
    defaults = [_defaults(body), *(base.defaults for base in bases)]
    return Kind(own, ancestors, next((known for known in defaults if known is not None), {}))


def _no_class(path: str, rest: str) -> ConfigError:
    return ConfigError(f"Expected a class in the table, but got {path!r}{rest}")


def _defined(module: str, name: str) -> tuple[str, ast.ClassDef] | None:
    """The definition of a class that a module of this package defines or imports from another."""
    for node in _statements(module):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return _defined(node.module, alias.name)
    return None


@cache
def _statements(module: str) -> list[ast.stmt]:
    """The source of a module of this package; nothing of another's, or of one that is not there."""
    package, *parts = module.split(".")
    if package != _PACKAGE:
        return []
    place = Path(__file__).parents[1].joinpath(*parts)
    for file in (place / "__init__.py", place.with_suffix(".py")):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8")).body
    return []


def _bases(module: str, body: ast.ClassDef) -> Iterator[str]:
    """Those bases that are classes of this package."""
    for base in body.bases:
        if isinstance(base, ast.Name) and (found := _defined(module, base.id)):
            yield f"{found[0]}.{found[1].name}"


def _defaults(body: ast.ClassDef) -> dict[str, Any] | None:
    """Of the arguments of its own constructor; None if it has no constructor of its own."""
    for node in body.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args][1:]
            absent = [None] * (len(named) - len(arguments.defaults))
            pairs = [
                *zip(named, [*absent, *arguments.defaults], strict=True),
                *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
            ]
            return {argument.arg: _plain(default) for argument, default in pairs}
    return None


def _plain(default: ast.expr | None) -> Any:  # noqa: ANN401
    if default is None:
        return inspect.Parameter.empty
    match default:
        case ast.BinOp(ast.Constant(int(over)), ast.Div(), ast.Constant(int(under))) if under:
            return over / under  # 8 / 255
    try:
        return ast.literal_eval(default)
    except ValueError:
        return _UNREAD
