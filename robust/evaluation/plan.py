"""The plan of a suite: every attack is built once and checked before any work is done."""

import inspect
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torchattacks.attack import Attack as TorchAttack

from robust.attacks.norms import norm_of
from robust.errors import ConfigError, nearest
from robust.evaluation.fingerprints import code_sha256
from robust.io.names import check_name
from robust.results.records import AttackInfo, Target
from robust.threat import ThreatModel
from robust.types import AttackCallable


def plan(
    attacks: Mapping[str, AttackCallable],
    threat_model: ThreatModel,
    threat_models: Mapping[str, ThreatModel],
    targets: Mapping[str, Target],
) -> dict[str, AttackInfo]:
    """Describe every attack of a suite as it will be run.

    An attack with an ``eps`` of its own is a budget attack. One without looks for the nearest
    adversarial image, which counts as a success only within the threat model.

    Raises:
        ConfigError: If a name is none or names no attack, or an attack cannot be built or has an
            argument out of range. Also if it bounds another norm or eps than its threat model, has
            an infinite budget, or cannot be targeted.
    """
    check_attack_names(attacks)
    for key, names in (("threat_models", threat_models), ("targets", targets)):
        for name in set(names) - set(attacks):
            raise ConfigError(
                f"Expected the keys of `{key}` to be attacks of the suite "
                f"({', '.join(attacks) or 'none'}), but got {name!r}."
                f"{nearest(name, attacks)}"
            )
    return {
        name: _describe(name, attack, threat_models.get(name, threat_model), targets.get(name))
        for name, attack in attacks.items()
    }


def threat_model_of(
    name: str, attack: AttackCallable, norm: str | None, eps: float | None
) -> ThreatModel:
    """Return the threat model of a single attack: as given, else as its own arguments say.

    Args:
        name: Of the attack, for messages.
        attack: Builds it on a view.
        norm: The norm; the one that the attack bounds if None, Linf if nothing says which.
        eps: The radius; the attack's own if None, and infinite if it has none.

    Raises:
        ConfigError: If the attack cannot be built, or there is no such threat model.
    """
    built = build(name, attack)
    known = norm or norm_of(built) or "Linf"
    return ThreatModel(known, vars(built).get("eps", math.inf) if eps is None else eps)  # type: ignore[arg-type] # it checks


def check_attack_names(names: Iterable[Any]) -> None:
    """Raise unless every attack has a name that prints, and no two would log under one key.

    Raises:
        ConfigError: With the name.
    """
    known = list(names)
    for name in known:
        check_name("the key of an attack in `attacks`", name)
    for name, bound in itertools.product(known, _BOUNDS):
        if f"{name}{bound}" in known:
            raise ConfigError(
                f"Expected no attack to be called {name + bound!r}, because the bounds of {name!r} "
                "are logged under that name. Choose another."
            )


# As `robust.results.metrics.rate_numbers` calls them.
_BOUNDS = ("_low", "_high")


def _describe(
    name: str, attack: AttackCallable, threat_model: ThreatModel, target: Target | None
) -> AttackInfo:
    built = build(name, attack)
    named = inspect.signature(type(built)).parameters
    arguments = {
        # Lists, as which JSON gives tuples back.
        key: list(value) if isinstance(value, tuple) else value
        for key, value in vars(built).items()
        if not key.startswith("_") and key not in _STATE and _is_plain(value, key in named)
    }
    _check_arguments(name, {**dict.fromkeys(_absent(built)), **arguments})
    _check_threat_model(name, built, arguments, threat_model)
    if target is not None and "targeted" not in built.supported_mode:
        raise ConfigError(
            f"Expected attack `{name}` to have a targeted mode for target {target}, but "
            f"{type(built).__name__} has none. Remove it from `targets`."
        )
    return AttackInfo(
        name=type(built).__name__,
        arguments=arguments,
        norm=threat_model.norm,
        eps=threat_model.eps,
        target=target,
        minimal="eps" not in arguments,
        code_sha256=code_sha256([type(built)]),
        area=threat_model.area,
    )


def _absent(built: TorchAttack) -> list[str]:
    """Numbers that were given as null, without which torchattacks fails late."""
    return [key for key in _NUMBERS if vars(built).get(key, 0) is None]


_COUNTS = ("steps", "n_queries", "n_restarts")
_NUMBERS = ("eps", "alpha", *_COUNTS)


def _is_plain(value: object, is_argument: bool) -> bool:
    """Whether a value says what an attack does; lists and nulls are mostly torchattacks' state."""
    if isinstance(value, tuple) or (is_argument and isinstance(value, list)):
        return all(isinstance(v, str | int | float) for v in value)
    return isinstance(value, str | int | float) or (is_argument and value is None)


# What torchattacks keeps beside its arguments.
_STATE = {"attack", "model_name", "attack_mode", "targeted"}


def build(name: str, attack: AttackCallable) -> TorchAttack:
    """Return an attack of a suite, built on a tiny network.

    Raises:
        ConfigError: If it cannot be built.
    """
    try:
        return attack(nn.Linear(1, 1))
    except ConfigError as error:
        raise ConfigError(f"Attack `{name}`: {error}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"Expected attack `{name}` to be built from its `init_args`, but it failed ({error}). "
            "Give numbers as numbers, such as 8/255."
        ) from None


def _check_arguments(name: str, arguments: Mapping[str, object]) -> None:
    for key in _NUMBERS:
        if key not in arguments:
            continue
        value = arguments[key]
        # torchattacks takes any value for its untyped arguments and fails on it later.
        if isinstance(value, str | bool) or not isinstance(value, int | float):
            raise ConfigError(
                f"Expected `{key}` of attack `{name}` to be a number, but got {value!r}. Write it "
                "as 0.1 or 8/255."
            )
        if key in _COUNTS and math.isfinite(value) and value != int(value):
            raise ConfigError(
                f"Expected `{key}` of attack `{name}` to be an integer, but got {value}."
            )
        if not value >= 0:
            raise ConfigError(
                f"Expected `{key}` of attack `{name}` to be non-negative, but got {value}."
            )
    for key, value in arguments.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(
                f"Expected `{key}` of attack `{name}` to be finite, but got {value}. Only attacks "
                "without an `eps`, which look for the nearest image, can be unbounded."
            )


def _check_threat_model(
    name: str, built: TorchAttack, arguments: Mapping[str, object], threat_model: ThreatModel
) -> None:
    kind, norm = type(built).__name__, norm_of(built) or threat_model.norm
    if norm != threat_model.norm:
        raise ConfigError(
            f"Expected attack `{name}` to bound {threat_model.norm} as its threat model does, but "
            f"{kind} bounds {norm}. Give it a threat model of its own in `threat_models`."
        )
    eps = arguments.get("eps", threat_model.eps)
    if isinstance(eps, int | float) and not math.isclose(eps, threat_model.eps, rel_tol=1e-9):
        raise ConfigError(
            f"Expected attack `{name}` to have the eps of its threat model, "
            f"{threat_model.eps:.6g}, but got {eps:.6g}. Leave `eps` out of the attack, set that "
            "of `threat_model`, or give the attack one of its own in `threat_models`."
        )
