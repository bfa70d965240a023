"""A threat model says what an attacker may do to an image, and checks that it did no more."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import final, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from robust.errors import ConfigError, check_eps, nearest
from robust.io.call_arguments import checked_constructor
from robust.types import Images, Norm
from robust.vocabulary import USUAL_EPS, EpsOn, Usual, budget, eps_on, limit_of


class ThreatModelViolation(RuntimeError):
    """An attack returned images that its threat model forbids."""


@dataclass(frozen=True)
class NamedThreatModel:
    """A named threat model is what a suite's file says, whose eps may be that of the data set.

    Args:
        norm: As of `ThreatModel`.
        eps: As of `ThreatModel`, or ``usual`` for the one of the data set.
    """

    norm: Norm = "Linf"
    eps: float | Usual = 8 / 255


@dataclass(frozen=True)
class ThreatModel(NamedThreatModel):
    """A threat model allows all images of [0, 1] within ``eps`` of the clean one.

    Example:
        >>> str(robust.ThreatModel("L2", 0.5))
        'L2 0.5'

    Args:
        norm: ``Linf`` (largest change of a value), ``L2`` (Euclidean, over all values of an image)
            or ``L0`` (number of pixels changed in any channel).
        eps: Radius, not negative; pixel units for ``Linf`` and ``L2``, pixels for ``L0``. Infinite
            for all images of [0, 1], whatever their distance.

    Raises:
        ConfigError: If ``norm`` is unknown, or ``eps`` is negative, no number, or a finite Linf
            radius above 1.
    """

    norm: Norm = "Linf"
    eps: float = 8 / 255

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise ConfigError(
                f"Expected `norm` to be one of {', '.join(get_args(Norm))}, but got {self.norm!r}."
                f"{nearest(self.norm, get_args(Norm))}"
            )
        check_eps(self.norm, self.eps)

    def __str__(self) -> str:
        return budget(self.norm, self.eps)

    @property
    def limit(self) -> float:
        """This distance is the largest that counts as within ``eps``, with float32's rounding."""
        return limit_of(self.eps)

    def distance(self, x: Images, x_adv: Images) -> Float[Tensor, " n"]:
        """Return the distance of each pair of images in this norm, in float64."""
        return distance(x, x_adv, self.norm)

    def project(self, x: Images, x_adv: Images) -> Images:
        """Return images of the threat model near ``x_adv``: ``L2`` towards ``x``, then clipped.

        Raises:
            ConfigError: For ``L0``, where attacks keep their own count of pixels.
        """
        if self.norm == "L0":
            raise ConfigError(
                "Expected `norm` Linf or L2 to project onto, but got L0: count pixels instead."
            )
        if self.norm == "Linf":
            return torch.clamp(x_adv, x - self.eps, x + self.eps).clamp(0, 1)
        delta = x_adv - x
        norms = _l2(delta).clamp_min(torch.finfo(x.dtype).tiny)
        scale = (norms.reciprocal() * self.eps).clamp_max(1).view(-1, 1, 1, 1)
        return (x + delta * scale).clamp(0, 1)

    def check(self, x: Images, x_adv: Tensor, attack: str, *, budget: bool = True) -> None:
        """Verify in float64 what an attack returned.

        Args:
            x: Clean images.
            x_adv: What the attack returned for them.
            attack: Its name in the suite, for the message.
            budget: Whether the attack promises to stay within ``eps``. A minimal-norm attack does
                not; its images outside count as failures instead.

        Raises:
            ThreatModelViolation: If an image has another shape, a NaN, a value outside [0, 1] or
                lies outside ``eps``.
        """
        if x_adv.shape != x.shape:
            raise ThreatModelViolation(
                f"Attack `{attack}` returned images of shape {tuple(x_adv.shape)}, "
                f"expected {tuple(x.shape)}."
            )
        if not torch.isfinite(x_adv).all():
            raise ThreatModelViolation(
                f"Attack `{attack}` returned NaN or infinite pixels: its arithmetic fails on this "
                "view. Choose another attack or view."
            )
        if len(x) and (x_adv.min() < 0 or x_adv.max() > 1):
            raise ThreatModelViolation(
                f"Attack `{attack}` left the box [0, 1]: its pixels reach from {x_adv.min():.6g} "
                f"to {x_adv.max():.6g}. Clip them in the attack."
            )
        if not budget:
            return
        worst = self.distance(x, x_adv).max().item() if len(x) else 0.0
        if worst > self.limit:
            raise ThreatModelViolation(
                f"Attack `{attack}` left the threat model: {self.norm} distance {worst:.6g} > "
                f"eps={self.eps:.6g}. Give the attack the same norm and eps as "
                "`evaluation.threat_model`, or its own in `evaluation.threat_models`."
            )


def distance(x: Images, x_adv: Images, norm: Norm) -> Float[Tensor, " n"]:
    """Return the distance of each pair of images in ``norm``, in float64 for any type."""
    delta = x_adv.double() - x.double()
    if norm == "L0":
        return delta.ne(0).any(dim=1).flatten(1).sum(dim=1).double()
    if norm == "L2":
        return _l2(delta)
    return delta.abs().flatten(1).amax(dim=1)


def _l2(delta: Images) -> Float[Tensor, " n"]:
    return delta.flatten(1).square().sum(dim=1).sqrt()


checked_constructor(ThreatModel)


@final
@dataclass(frozen=True)
class OpenThreatModel(ThreatModel):
    """An open threat model has the eps of a data set, once that is known.

    Until then its `eps` is that of the first data set which has one in this norm.

    Args:
        norm: As of `ThreatModel`.
        eps: Stands in for the eps of the data set.
        eps_on: Where the radii differ from `USUAL_EPS`.
    """

    eps_on: EpsOn = field(default_factory=dict, hash=False)

    def on(self, data: str) -> ThreatModel | None:
        """Return the threat model on a data set; None if no radius is known for it."""
        eps = eps_on(self.norm, data, self.eps_on)
        return None if eps is None else ThreatModel(self.norm, eps)

    def in_norm(self, norm: Norm) -> "OpenThreatModel":
        """Return it in another norm, with the radii of that."""
        return replace(self, norm=norm, eps=next(_radii(norm, self.eps_on), 0.0))


def threat_model_named(named: NamedThreatModel, own: EpsOn) -> ThreatModel:
    """Return the threat model that a suite's file names.

    Args:
        named: What it says.
        own: Where its radii differ from those that are usual.

    Raises:
        ConfigError: If a radius is none.
    """
    if isinstance(named, ThreatModel):
        return named
    if not isinstance(named.eps, str):
        return ThreatModel(named.norm, named.eps)
    for norm, radii in own.items():
        for radius in radii.values():
            ThreatModel(norm, radius)  # raises where it is none
    return OpenThreatModel(named.norm, eps_on=own).in_norm(named.norm)


def _radii(norm: Norm, own: EpsOn) -> Iterator[float]:
    for data in USUAL_EPS.get(norm, {}):
        eps = eps_on(norm, data, own)
        if eps is not None:
            yield eps
    yield from own.get(norm, {}).values()
