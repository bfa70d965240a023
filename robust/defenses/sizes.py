"""Defenses whose sizes nobody gave get them from the data, before their first training step."""

import inspect
from functools import partial
from typing import Any

import torch
from torch import nn

from robust.attacks import isolated
from robust.data import ImageDataModule
from robust.defenses.base import Defense
from robust.networks.arguments import given_arguments, is_untouched, missing_sizes, sized


def take_sizes(defense: Defense, data: ImageDataModule) -> None:
    """Build a defense again, in place, for images and classes that its arguments do not name.

    Arguments that were given stay as they are, and so does a defense whose weights have changed
    since it was built: whether it fits the data is `Defense.check_fit`'s to say.

    Args:
        defense: Of a class of `robust.defenses`, or any other with a network of `robust.networks`.
        data: What it is to be trained on or attacked with.
    """
    given = given_arguments(defense)
    if given is None:
        network = sized(defense.network, data.shape, data.num_classes)
        if network is not defense.network:
            defense.network = network.to(defense.device)
    elif is_untouched(defense):
        changed = missing_sizes(type(defense), given, data.shape, data.num_classes)
        network = _sized_network(given["network"], data)
        if network is not given["network"]:
            changed["network"] = network
        if changed:
            type(defense).__init__(defense, **{**given, **changed})


def outputs_of(defense: Defense, shape: tuple[int, int, int]) -> int:
    """Return how many scores a defense gives of an image of ``shape``; 0 if it takes none."""
    with isolated(defense, defense.device, 0), torch.no_grad():
        try:
            return int(defense(torch.zeros(1, *shape, device=defense.device)).shape[-1])
        # Of a network that does not fit, `Defense.check_fit` says why.
        except Exception:
            return 0


def _sized_network(network: Any, data: ImageDataModule) -> Any:  # noqa: ANN401
    """Return the network of a defense, or what builds it from its number of outputs."""
    if isinstance(network, nn.Module):
        return sized(network, data.shape, data.num_classes)
    known = network.keywords if isinstance(network, partial) else {}
    built = network.func if isinstance(network, partial) else network
    if not inspect.isclass(built):
        return network
    sizes = missing_sizes(built, known, data.shape, None)
    return partial(network, **sizes) if sizes else network
