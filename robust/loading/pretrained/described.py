"""A defense around a network that was trained elsewhere, as plain values, and built again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robust.defenses import Pretrained
from robust.errors import ConfigError, in_short
from robust.loading.pretrained.built import built_again, view_of
from robust.networks.foreign import Foreign
from robust.networks.normalize import Normalize

CLASS_PATH = "robust.defenses.Pretrained"
_PLAIN = ("mean", "std", "outputs", "channels", "batch_size")


def is_pretrained(described: Mapping[str, Any]) -> bool:
    """Return whether a description is one of `described`, which no parser can build."""
    network = described["init_args"].get("network")
    return isinstance(network, Mapping) and isinstance(network.get("source"), Mapping)


def described(
    defense: Pretrained,
    network: Mapping[str, Any],
    view: str | None,
) -> dict[str, Any]:
    """Return what builds a defense again, except its weights.

    Args:
        defense: The defense.
        network: Description of its network.
        view: Dotted path of what builds its adaptive view.
    """
    foreign = defense.network
    assert isinstance(foreign, Foreign)
    first = foreign.normalize
    numbers: dict[str, Any] = {"mean": None, "std": None}
    if isinstance(first, Normalize):
        numbers = {"mean": first.mean.flatten().tolist(), "std": first.std.flatten().tolist()}
    arguments = {
        "network": dict(network),
        **numbers,
        "outputs": defense.outputs_are,
        "channels": foreign.channels,
        "batch_size": foreign.batch_size,
        "adaptive": view,
    }
    return {"class_path": CLASS_PATH, "init_args": arguments}


def built_from(arguments: Mapping[str, Any], path: Path) -> Pretrained:
    """Return the defense that a checkpoint describes, without its weights.

    Args:
        arguments: Those of `described`.
        path: The checkpoint.

    Raises:
        ConfigError: If it cannot be built.
        UntrustedError: If its class, view or program is not trusted.
    """
    network = built_again(arguments["network"], path.parent.parent)
    view = arguments.get("adaptive")
    plain = {key: arguments[key] for key in _PLAIN if key in arguments}
    try:
        return Pretrained(network, adaptive=None if view is None else view_of(str(view)), **plain)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"Expected {path} to describe a network, but it cannot be built ({in_short(error)}). "
            "Evaluate its source again."
        ) from None
