"""Attacks as a suite names them: which one is wrong, and how, before the parser is asked.

The parser tries every type that ``attacks`` may have, and its message is of the last, null.
"""

import difflib
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from robust.attacks.by_name import attack_classes
from robust.attacks.plugin import Plugin, is_plugin
from robust.errors import ConfigError
from robust.loading.class_paths import imported
from robust.loading.parsing.abstract import check_concrete

_KEYS = ("class_path", "init_args")


def check_attack_specs(attacks: Mapping[Any, Any], where: object) -> None:
    """Raise for the first attack that no class or its path is given for.

    Args:
        attacks: What a suite holds under ``attacks``.
        where: The suite, for messages.

    Raises:
        ConfigError: With the attack, and the class or key that was perhaps meant.
    """
    for name, spec in attacks.items():
        if isinstance(spec, Mapping):
            _check_keys(spec, f"attack `{name}` of {where}")
            spec = spec["class_path"]
        if callable(spec):
            check_concrete(spec, getattr(spec, "__name__", "it"), f"attack `{name}` of {where}")
        else:
            _check_path(spec, f"attack `{name}` of {where}")


def with_plugins(attacks: Mapping[str, Any], where: object) -> dict[str, Any]:
    """Return attacks in which a `Plugin` stands for each that is no attack of torchattacks' kind.

    Args:
        attacks: What a suite holds under ``attacks``, whose paths may be named.
        where: The suite, for messages.
    """
    return {name: _with_plugin(spec, where) for name, spec in attacks.items()}


def _with_plugin(spec: Any, where: object) -> Any:  # noqa: ANN401
    path = spec.get("class_path") if isinstance(spec, Mapping) else spec
    try:
        found = imported(path, where) if isinstance(path, str) else path
    except (ImportError, AttributeError, ValueError):
        return spec  # the parser says what is wrong with it
    arguments = dict(spec.get("init_args") or {}) if isinstance(spec, Mapping) else {}
    if callable(found) and is_plugin(found):
        return partial(Plugin, attack=found, arguments=arguments)
    # The parser builds what a path names, and takes an object as it is.
    return spec if isinstance(path, str) or not callable(found) else partial(found, **arguments)


def missing_attacks(content: Mapping[Any, Any], where: object) -> ConfigError:
    """Return the error about a suite without attacks, with the key that was perhaps meant."""
    near = difflib.get_close_matches("attacks", map(str, content), n=1)
    hint = f" Rename `{near[0]}` to `attacks`." if near and near[0] != "attacks" else ""
    return ConfigError(f"Expected a mapping of `attacks` in {where}, but it has none.{hint}")


def _check_keys(spec: Mapping[Any, Any], which: str) -> None:
    unknown = [str(key) for key in spec if key not in _KEYS]
    if "class_path" in spec and not unknown:
        return
    got = f"but got {', '.join(unknown)}" if unknown else "but it has none"
    raise ConfigError(
        f"Expected `class_path` and `init_args` in {which}, {got}."
        f"{_near(unknown[0], _KEYS) if unknown else ''} Arguments such as eps go into `init_args`."
    )


def _check_path(path: object, which: str) -> None:
    if isinstance(path, str) and "." in path:
        return
    if not isinstance(path, str):
        raise ConfigError(
            f"Expected a class in {which}, but got {str(path)[:60]!r}. Name one such as "
            "robust.attacks.PGD."
        )
    kinds = attack_classes()
    near = difflib.get_close_matches(path.lower(), kinds, n=1)
    package = (kinds[near[0]].__module__.split(".")[0]) if near else ""
    home = "robust.attacks" if package == "robust" else package
    hint = f"Did you mean {home}.{kinds[near[0]].__name__}?" if near else "See robust.attacks."
    raise ConfigError(
        f"Expected the path of a class such as robust.attacks.PGD in {which}, but got "
        f"{path[:60]!r}. {hint}"
    )


def _near(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]}?" if close else ""
