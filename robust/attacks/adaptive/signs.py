"""What a network does that hides its gradient, as far as torch sees its functions."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robust.attacks.adaptive.functions import FLAT, STEPS
from robust.attacks.adaptive.mode import OtherGradient, Seen
from robust.attacks.adaptive.slopes import Recipe
from robust.types import Images


class Signs(NamedTuple):
    """They say what a network does on some images that hides its gradient."""

    steps: tuple[str, ...]
    """Functions with steps that it calls, on what depends on the image."""
    flat: dict[str, float]
    """Functions that become flat, each with the share of its values where it is."""
    hides: bool
    """Whether it computes something without a gradient, by ``detach`` or ``no_grad``."""
    dead: float
    """Share of images at which its own scores have no gradient."""

    @property
    def any(self) -> bool:
        """Whether anything hides a gradient."""
        return bool(self.steps or self.flat or self.hides or self.dead)

    def words(self) -> str:
        """Return what was found in words; empty if nothing was."""
        flat = [f"{name} (flat at {share:.0%} of its values)" for name, share in self.flat.items()]
        hides = ["values without a gradient"] if self.hides else []
        dead = [f"no gradient at {self.dead:.0%} of the images"] if self.dead else []
        return ", ".join([*self.steps, *flat, *hides, *dead])


def signs_of(network: nn.Module, x: Images) -> Signs:
    """Look at what a network calls on some images.

    Args:
        network: Images to scores, in eval mode.
        x: Images.
    """
    steps: Counter[str] = Counter()
    flat: dict[str, list[Tensor]] = {}
    hides: list[str] = []

    def look(seen: Seen) -> None:
        value = seen.args[0] if seen.args else None
        if seen.name in _HIDING:
            hides.append(seen.name)
        if not isinstance(value, Tensor):
            return
        if seen.name in STEPS and value.requires_grad and not _is_harmless(seen):
            steps[seen.name] += 1
        if seen.name in _FLATNESS and isinstance(seen.returned, Tensor) and value.requires_grad:
            flat.setdefault(seen.name, []).append(_FLATNESS[seen.name](seen.returned.detach()))

    with torch.enable_grad():
        # No leaf, so that a network may change it in place.
        some = x.clone().requires_grad_() * 1
        with OtherGradient(Recipe(), look):
            network(some)
    shares = {name: float(torch.cat(parts).mean()) for name, parts in flat.items()}
    shares = {name: share for name, share in shares.items() if share > _MUCH}
    dead = float(without_gradient(network, x).float().mean())
    return Signs(tuple(sorted(steps)), shares, bool(hides), dead)


def without_gradient(network: nn.Module, x: Images) -> Tensor:
    """Return at which images the scores of a network have no gradient."""
    with torch.enable_grad():
        some = x.clone().requires_grad_()
        scores = network(some)
        if not scores.requires_grad:
            return torch.ones(len(x), dtype=torch.bool, device=x.device)
        # The best two scores, weighted: probabilities have one sum whatever the image.
        best = scores.topk(2, dim=1).values
        gap = (best[:, 0] - best[:, 1]).sum()
        (gradient,) = torch.autograd.grad(gap, some, allow_unused=True, materialize_grads=True)
    return ~(gradient.flatten(1).abs().amax(dim=1) > 0)


_MUCH = 0.2
"""Fewer flat values hide nothing: so many does an image of digits clip."""
_HIDING = ("numpy", "array", "tolist", "detach", "data", "set_grad_enabled")


def _is_harmless(seen: Seen) -> bool:
    """Return whether a change of the type keeps a gradient."""
    is_float = isinstance(seen.returned, Tensor) and seen.returned.is_floating_point()
    return seen.name in ("to", "type") and is_float


def _near(*ends: float) -> Callable[[Tensor], Tensor]:
    return lambda values: (
        torch.stack([(values - end).abs() < 1e-4 for end in ends]).any(dim=0).float().flatten()
    )


_FLATNESS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": _near(-1.0, 1.0),
    "erf": _near(-1.0, 1.0),
    "sigmoid": _near(0.0, 1.0),
    "softmax": _near(0.0, 1.0),
    "exp": lambda values: (values < 1e-10).float().flatten(),
}
assert _FLATNESS.keys() <= FLAT.keys()
