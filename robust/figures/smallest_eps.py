"""The search for the smallest eps at which an attack succeeds on a share of images."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from robust.attacks import craft
from robust.errors import ConfigError
from robust.types import AttackCallable, Images, Labels


class Smallest(NamedTuple):
    """Outcome of a search for the smallest eps."""

    eps: float | None
    """None if the attack reached the share at no eps."""
    x_adv: Images
    """Images at that eps; at the largest eps if there is none."""


def smallest_eps(
    defense: nn.Module,
    view: nn.Module,
    attacks: Mapping[float, AttackCallable],
    x: Images,
    y: Labels,
    *,
    target: Labels | None = None,
    share: float = 1.0,
    **crafting: Any,  # noqa: ANN401
) -> Smallest:
    """Return the smallest eps at which a budget attack succeeds on a share of the images.

    Each eps is tried in ascending order, since success need not grow with eps.

    Args:
        defense: The network whose predictions count.
        view: What the attack differentiates.
        attacks: The attack at each eps, in pixel units.
        x: Images in [0, 1].
        y: Their labels.
        target: Class that each image shall become; None for another class than its own.
        share: Of the images, above 0 and at most 1.
        crafting: What else `robust.attacks.craft` takes.

    Raises:
        ConfigError: If there is no attack or no image, or ``share`` is out of range.
    """
    if not attacks or not len(x) or not 0 < share <= 1:
        raise ConfigError(
            "Expected at least one eps, one image and a `share` above 0 and at most 1, but got "
            f"{len(attacks)}, {len(x)} and {share}."
        )
    x_adv = x
    for eps in sorted(attacks):
        x_adv = craft(attacks[eps], view, x, y, target=target, **crafting).x_adv
        predictions = predict(defense, x_adv)
        reached = predictions != y if target is None else predictions == target
        if reached.double().mean() >= share:
            return Smallest(eps, x_adv)
    return Smallest(None, x_adv)


@torch.no_grad()
def predict(model: nn.Module, x: Images) -> Labels:
    """Classes that ``model`` predicts, in the mode that it is in."""
    return model(x).argmax(dim=1)  # type: ignore[no-any-return]
