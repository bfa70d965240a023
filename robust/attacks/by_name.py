"""Attacks are found by the names of their classes, whatever their case."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torchattacks
from torchattacks.attack import Attack as TorchAttack

from robust import attacks
from robust.attacks.plugin import Plugin, is_of_foolbox, is_plugin, parameters_of
from robust.errors import ConfigError, in_short
from robust.types import AttackCallable

Named = str | Callable[..., Any]
"""This is the name of an attack, its class, or a function that builds it on a view."""


def attack_named(name: str) -> Any:  # noqa: ANN401
    """Return a class of `robust.attacks`, else of torchattacks, whatever the case of its name.

    A name with dots is a path, such as ``adv_lib.attacks.fmn``, and may be of any package.

    Raises:
        ConfigError: If there is none, with the name that was perhaps meant.
    """
    if "." in name:
        return _at(name)
    known = attack_classes()
    found = known.get(name.lower())
    if found is None:
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"Did you mean {known[near[0]].__name__}?" if near else "See robust.attacks."
        raise ConfigError(
            "Expected an attack of robust.attacks or torchattacks, such as PGD, but got "
            f"{name[:60]!r}. {hint}"
        )
    return found


def _at(path: str) -> Any:  # noqa: ANN401
    """Return what a path names, which is imported: it is the caller's own word."""
    module, _, name = path.rpartition(".")
    try:
        home = importlib.import_module(module)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"Expected an attack at {path[:80]}, but its module cannot be imported "
            f"({in_short(error)}). Is it installed?"
        ) from None
    if not hasattr(home, name):
        near = difflib.get_close_matches(name, dir(home), n=1)
        hint = f" Did you mean {module}.{near[0]}?" if near else ""
        raise ConfigError(f"There is no {name!r} in {module}.{hint}")
    return getattr(home, name)


def attack_classes() -> dict[str, type[TorchAttack]]:
    """Return the classes of `robust.attacks` and torchattacks by their names in small letters."""
    return {
        name.lower(): kind
        for module in (torchattacks, attacks)
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, TorchAttack) and kind not in _BASES
    }


_BASES = (TorchAttack, attacks.Attack)
_OF_THE_CALL = ("eps", "norm", "mask", "view", "target", "seed")
"""Arguments of `robust.attack` itself."""


def attack_builder(
    named: object, budget: Mapping[str, Any], arguments: Mapping[str, Any]
) -> tuple[str, AttackCallable]:
    """Return the name of an attack and what builds it on a view.

    Args:
        named: A name, a class, what builds the attack on a view, or a function or an attack of
            another library, as `Plugin` takes it.
        budget: The ``eps`` and the ``norm`` that it gets if it has such arguments.
        arguments: Its other arguments.

    Raises:
        ConfigError: If there is no such attack, or it has no such argument.
    """
    built: Any = attack_named(named) if isinstance(named, str) else named
    if is_plugin(built):
        return _plugin(built, budget, arguments)
    builds = callable(built) and not isinstance(built, TorchAttack)
    is_attack = issubclass(built, TorchAttack) if isinstance(built, type) else builds
    if not is_attack or built in _BASES or inspect.isabstract(built):
        raise ConfigError(
            "Expected the name or the class of an attack, such as robust.attacks.PGD, or a "
            "function of a model, images and labels, but got "
            f"{getattr(built, '__name__', type(built).__name__)}. See robust.attacks."
        )
    name = getattr(built, "__name__", "attack")
    _, *known = inspect.signature(built).parameters
    _check_arguments(name, known, arguments)
    taken = {key: value for key, value in budget.items() if key in known}
    return name, partial(built, **taken, **arguments)


def _plugin(
    function: Callable[..., Any], budget: Mapping[str, Any], arguments: Mapping[str, Any]
) -> tuple[str, AttackCallable]:
    name = getattr(function, "__name__", type(function).__name__)
    known = parameters_of(function)
    if known and not any(p.kind == p.VAR_KEYWORD for p in known.values()):
        first = 0 if is_of_foolbox(function) else 3  # model, images and labels
        _check_arguments(name, [*known][first:], arguments)
    return name, partial(Plugin, attack=function, arguments=arguments, **budget)


def _check_arguments(name: str, known: Sequence[str], arguments: Mapping[str, Any]) -> None:
    for key in set(arguments) - set(known):
        near = difflib.get_close_matches(key, [*known, *_OF_THE_CALL], n=1)
        hint = f"Did you mean {near[0]}?" if near else "Leave it out."
        raise ConfigError(
            f"Expected an argument of {name} ({', '.join(known) or 'it has none'}), but got "
            f"{key!r}. {hint}"
        )
