"""Attacks are found by the names of their classes, whatever their case."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torchattacks
from torchattacks.attack import Attack as TorchAttack

from robust import attacks
from robust.errors import ConfigError
from robust.types import AttackCallable

Named = str | Callable[..., Any]
"""This is the name of an attack, its class, or a function that builds it on a view."""


def attack_named(name: str) -> type[TorchAttack]:
    """Return a class of `robust.attacks`, else of torchattacks, whatever the case of its name.

    Raises:
        ConfigError: If neither has it, with the name that was perhaps meant.
    """
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


def attack_classes() -> dict[str, type[TorchAttack]]:
    """Return the classes of `robust.attacks` and torchattacks by their names in small letters."""
    return {
        name.lower(): kind
        for module in (torchattacks, attacks)
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, TorchAttack) and kind not in _BASES
    }


_BASES = (TorchAttack, attacks.Attack)
_OF_THE_CALL = ("eps", "norm", "view", "target", "seed")
"""Arguments of `robust.attack` itself."""


def attack_builder(
    named: object, budget: Mapping[str, Any], arguments: Mapping[str, Any]
) -> tuple[str, AttackCallable]:
    """Return the name of an attack and what builds it on a view.

    Args:
        named: A name, a class, or what builds the attack on a view.
        budget: The ``eps`` and the ``norm`` that it gets if it has such arguments.
        arguments: Its other arguments.

    Raises:
        ConfigError: If there is no such attack, or it has no such argument.
    """
    built: Any = attack_named(named) if isinstance(named, str) else named
    is_attack = issubclass(built, TorchAttack) if isinstance(built, type) else callable(built)
    if not is_attack or built in _BASES or inspect.isabstract(built):
        raise ConfigError(
            "Expected the name or the class of an attack, such as robust.attacks.PGD, but got "
            f"{getattr(built, '__name__', type(built).__name__)}. See robust.attacks."
        )
    name = getattr(built, "__name__", "attack")
    _, *known = inspect.signature(built).parameters
    for key in set(arguments) - set(known):
        near = difflib.get_close_matches(key, [*known, *_OF_THE_CALL], n=1)
        hint = f"Did you mean {near[0]}?" if near else "Leave it out."
        raise ConfigError(
            f"Expected an argument of {name} ({', '.join(known) or 'it has none'}), but got "
            f"{key!r}. {hint}"
        )
    taken = {key: value for key, value in budget.items() if key in known}
    return name, partial(built, **taken, **arguments)
