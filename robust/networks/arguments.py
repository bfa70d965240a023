"""Networks and defenses remember what they were built from, and get missing sizes from data.

Constructors are wrapped, rather than their code changed, so that what an object computes keeps its
fingerprint and records stay valid.
"""

import functools
import inspect
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from robust.io.call_arguments import check_arguments

_KEY = "_built_from"


class BuiltFrom(NamedTuple):
    """It says what a module was built from.

    Args:
        arguments: Those that were given, by name.
        kept: Names of arguments that are attributes as well, which may be set later.
        version: Of its weights when it was built (see `is_untouched`).
    """

    arguments: dict[str, Any]
    kept: frozenset[str]
    version: int


def remember_arguments(*kinds: type[nn.Module]) -> None:
    """Let objects of classes, but not of subclasses, keep the arguments that they are given.

    Arguments are checked first (see `robust.io.call_arguments`).

    Args:
        kinds: Classes whose arguments all have names.
    """
    for kind in kinds:
        _remember(kind)


def _remember(kind: type[nn.Module]) -> None:
    original = vars(kind)["__init__"]
    signature = inspect.signature(original)

    @functools.wraps(original)
    def build(self: nn.Module, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        check_arguments(original, type(self).__name__, (self, *args), kwargs)
        original(self, *args, **kwargs)
        if type(self) is kind:
            bound = signature.bind(self, *args, **kwargs)
            _, *given = bound.arguments.items()
            bound.apply_defaults()
            _, *known = bound.arguments.items()
            kept = (name for name, value in known if getattr(self, name, _KEY) is value)
            vars(self)[_KEY] = BuiltFrom(dict(given), frozenset(kept), _version(self))

    setattr(kind, "__init__", build)  # noqa: B010 (a method, to mypy)


def given_arguments(module: object) -> dict[str, Any] | None:
    """Return the arguments that an object was given or set to; None if its class keeps none."""
    found = getattr(module, "__dict__", {}).get(_KEY)
    if not isinstance(found, BuiltFrom):
        return None
    known = inspect.signature(type(module)).parameters
    now = {name: getattr(module, name) for name in known if name in found.kept}
    changed = {name: value for name, value in now.items() if value is not known[name].default}
    return {**found.arguments, **changed}


def is_untouched(module: nn.Module) -> bool:
    """Return whether no weight has changed since a module was built; False if nobody knows."""
    found = vars(module).get(_KEY)
    return isinstance(found, BuiltFrom) and found.version == _version(module)


def missing_sizes(
    kind: Any,  # noqa: ANN401
    given: Mapping[str, Any],
    shape: tuple[int, int, int],
    outputs: int | None,
) -> dict[str, Any]:
    """Return arguments of sizes that were not given and differ for images of ``shape``.

    Args:
        kind: A class, or a function that builds its objects.
        given: The arguments that were given.
        shape: (C, H, W) of an image.
        outputs: Number of classes; None if something else decides it.
    """
    channels, height, width = shape
    sizes: dict[str, Any] = {"in_features": math.prod(shape), "in_channels": channels}
    sizes |= {"shape": shape} | ({"size": height} if height == width else {})
    sizes |= {} if outputs is None else {"num_classes": outputs}
    known = inspect.signature(kind).parameters
    return {
        name: size
        for name, size in sizes.items()
        if name in known and name not in given and known[name].default != size
    }


def sized(network: nn.Module, shape: tuple[int, int, int], outputs: int | None) -> nn.Module:
    """Return a network for images of ``shape``: itself, or a new one where sizes were not given.

    Args:
        network: One whose arguments are known (see `remember_arguments`), or any other.
        shape: (C, H, W) of an image.
        outputs: Number of classes; None if something else decides it.
    """
    given = given_arguments(network)
    if given is None or not is_untouched(network):
        return network
    missing = missing_sizes(type(network), given, shape, outputs)
    return type(network)(**given, **missing) if missing else network


def _version(module: nn.Module) -> int:
    """Return how often weights were written, as torch counts it for its backward pass."""
    return sum(parameter._version for parameter in module.parameters())
