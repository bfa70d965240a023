"""A threat model says what an attacker may do to an image, and checks that it did no more."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import final, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robust.errors import ConfigError, check_at_least, check_eps, nearest
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
        mask: As of `ThreatModel`.
        patch: As of `ThreatModel`.
    """

    norm: Norm = "Linf"
    eps: float | Usual = 8 / 255
    mask: Sequence[Sequence[int]] | None = None
    patch: int | None = None


@dataclass(frozen=True)
class ThreatModel(NamedThreatModel):
    """A threat model allows all images of [0, 1] within ``eps`` of the clean one.

    Examples:
        >>> str(robust.ThreatModel("L2", 0.5))
        'L2 0.5'

    Args:
        norm: ``Linf`` is the largest change of a value, ``L2`` is Euclidean over all values of an
            image. ``L1`` is the sum of the changes of all values, ``L0`` the number of pixels that
            change in any channel.
        eps: Radius, not negative; in pixel units, for ``L0`` in pixels. Infinite for all images of
            [0, 1], whatever their distance.
        mask: Rows of ones and zeros, one number for each pixel. Only pixels that have a one may
            change; all may if None. Of a tensor it is ``mask.int().tolist()``.
        patch: Side of a square, in pixels. Only pixels of one such square may change, which the
            attack places in each image.

    Raises:
        ConfigError: If ``norm`` is unknown, or ``eps`` is negative, no number, or a finite Linf
            radius above 1. Also if ``mask`` has rows of several lengths, other numbers or no one,
            if ``patch`` is below 1, or both are given.
    """

    norm: Norm = "Linf"
    eps: float = 8 / 255

    def __post_init__(self) -> None:
        self._check_area()
        if self.norm not in get_args(Norm):
            raise ConfigError(
                f"Expected `norm` to be one of {', '.join(get_args(Norm))}, but got {self.norm!r}."
                f"{nearest(self.norm, get_args(Norm))}"
            )
        check_eps(self.norm, self.eps)

    def __str__(self) -> str:
        return budget(self.norm, self.eps, self.area)

    @property
    def area(self) -> str:
        """Say which pixels may change, as in ``in a patch of 5x5``; empty if all may.

        A mask is told from others of as many pixels by a checksum.
        """
        if self.patch is not None:
            return f"in a patch of {self.patch}x{self.patch}"
        if self.mask is None:
            return ""
        content = "/".join("".join(map(str, row)) for row in self.mask)
        checksum = hashlib.blake2b(content.encode(), digest_size=4).hexdigest()
        return f"in {content.count('1')} pixels of mask {checksum}"

    def _check_area(self) -> None:
        if self.mask is not None:
            rows = tuple(tuple(map(int, row)) for row in self.mask)
            object.__setattr__(self, "mask", rows)
            found = {value for row in rows for value in row}
            if len({len(row) for row in rows}) != 1 or not {1} <= found <= {0, 1}:
                raise ConfigError(
                    "Expected `mask` to have rows of zeros and ones, all of one length and with at "
                    f"least a one, but got {len(rows)} rows with {sorted(found)[:5]}. Give one "
                    "number for each pixel."
                )
        if self.patch is not None:
            check_at_least("patch", self.patch, 1)
            if self.mask is not None:
                raise ConfigError("Expected a `mask` or a `patch`, but got both. Drop one of them.")

    @property
    def limit(self) -> float:
        """This distance is the largest that counts as within ``eps``, with float32's rounding."""
        return limit_of(self.eps)

    def distance(self, x: Images, x_adv: Images) -> Float[Tensor, " n"]:
        """Return the distance of each pair of images in this norm, in float64."""
        return distance(x, x_adv, self.norm)

    def project(self, x: Images, x_adv: Images) -> Images:
        """Return images of the threat model near ``x_adv``: the nearest in ``Linf`` and ``L1``.

        In ``L2`` they go towards ``x`` and are clipped then.

        Raises:
            ConfigError: For ``L0``, where attacks keep their own count of pixels.
        """
        if self.mask is not None:
            x_adv = torch.where(torch.tensor(self.mask, device=x.device).bool(), x_adv, x)
        if self.norm == "L0":
            raise ConfigError(
                "Expected `norm` Linf, L2 or L1 to project onto, but got L0: count pixels instead."
            )
        if self.norm == "Linf":
            return torch.clamp(x_adv, x - self.eps, x + self.eps).clamp(0, 1)
        if self.norm == "L1":
            return onto_l1_ball(x, x_adv, x.new_full((len(x),), self.eps, dtype=torch.float64))
        delta = x_adv - x
        norms = _l2(delta).clamp_min(torch.finfo(x.dtype).tiny)
        scale = (norms.reciprocal() * self.eps).clamp_max(1).view(-1, 1, 1, 1)
        return (x + delta * scale).clamp(0, 1)

    def _check_changed(self, x: Images, x_adv: Images, attack: str) -> None:
        """Verify that nothing but pixels of the mask, or of one square, has changed."""
        changed = (x_adv != x).any(dim=1)
        if self.mask is not None:
            outside = changed & ~torch.tensor(self.mask, device=x.device).bool()
        elif self.patch is not None:
            extents = torch.maximum(_extent(changed.any(dim=1)), _extent(changed.any(dim=2)))
            outside = extents > self.patch
        else:
            return
        if outside.any():
            raise ThreatModelViolation(
                f"Attack `{attack}` changed pixels that are not {self.area}. Leave them as they "
                "are in the attack."
            )

    def check(self, x: Images, x_adv: Tensor, attack: str, *, budget: bool = True) -> None:
        """Verify in float64 what an attack returned.

        Args:
            x: Clean images.
            x_adv: What the attack returned for them.
            attack: Its name in the suite, for the message.
            budget: Whether the attack promises to stay within ``eps``. A minimal-norm attack does
                not; its images outside count as failures instead.

        Raises:
            ThreatModelViolation: If an image has another shape, a NaN, a value outside [0, 1],
                changes outside of `mask` or `patch`, or lies outside ``eps``.
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
        self._check_changed(x, x_adv, attack)
        if not budget:
            return
        worst = self.distance(x, x_adv).max().item() if len(x) else 0.0
        if worst > self.limit:
            raise ThreatModelViolation(
                f"Attack `{attack}` left the threat model: {self.norm} distance {worst:.6g} > "
                f"eps={self.eps:.6g}. Give the attack the same norm and eps as "
                "`evaluation.threat_model`, or its own in `evaluation.threat_models`."
            )


def _extent(changed: Bool[Tensor, "n side"]) -> Int64[Tensor, " n"]:
    """Return how far the first and the last true value of each row are apart, both included."""
    n, side = changed.shape
    index = torch.arange(side, device=changed.device).expand(n, side)
    last = torch.where(changed, index, -1).amax(dim=1)
    first = torch.where(changed, index, side).amin(dim=1)
    return (last - first + 1).clamp_min(0)


def distance(x: Images, x_adv: Images, norm: Norm) -> Float[Tensor, " n"]:
    """Return the distance of each pair of images in ``norm``, in float64 for any type."""
    delta = x_adv.double() - x.double()
    if norm == "L0":
        return delta.ne(0).any(dim=1).flatten(1).sum(dim=1).double()
    if norm == "L2":
        return _l2(delta)
    if norm == "L1":
        return delta.abs().flatten(1).sum(dim=1)
    return delta.abs().flatten(1).amax(dim=1)


def _l2(delta: Images) -> Float[Tensor, " n"]:
    return delta.flatten(1).square().sum(dim=1).sqrt()


def onto_l1_ball(x: Images, x_adv: Images, radius: Float[Tensor, " n"]) -> Images:
    """Return the images of [0, 1] nearest to ``x_adv`` in L2 whose L1 distance is within a radius.

    Each value gives up the same amount of its change, until it is back or the sum fits. How much
    follows exactly from the sorted points where a value leaves the box or is back. Croce and Hein
    2021, Proposition 2.1, https://arxiv.org/abs/2103.01208.

    Args:
        x: Images in [0, 1].
        x_adv: Images near them, anywhere.
        radius: Of each image.
    """
    clean = x.double().flatten(1)
    delta = x_adv.double().flatten(1) - clean
    size, room = delta.abs(), torch.where(delta > 0, 1 - clean, clean)
    # Below its first point a value is at the edge of the box, beyond its second one it is back.
    points, order = torch.cat([(size - room).clamp_min(0), size], dim=1).sort(dim=1)
    slopes = torch.where(order < size.shape[1], -1.0, 1.0).to(delta).cumsum(dim=1)
    fall = points.diff(dim=1) * slopes[:, :-1]
    first = torch.minimum(size, room).sum(dim=1, keepdim=True)
    # What is left of the sum at each point.
    sums = torch.cat([first, first + fall.cumsum(dim=1)], dim=1)
    wanted = radius.double().view(-1, 1)
    at = (sums > wanted).sum(dim=1, keepdim=True).sub_(1).clamp_min_(0)
    excess = (sums.gather(1, at) - wanted).clamp_min(0)
    given_up = points.gather(1, at) - excess / slopes.gather(1, at).clamp_max(-1)
    given_up = torch.where(first > wanted, given_up, 0)
    moved = torch.minimum((size - given_up).clamp_min(0), room)
    return _towards(x, (moved * delta.sign()).view_as(x))


def _towards(x: Images, delta: Images) -> Images:
    """Return ``x`` plus a change in float64, rounded such that no value moves further than that."""
    result = (x.double() + delta).to(x.dtype)
    over = (result.double() - x.double()).abs() > delta.abs()
    return torch.where(over, torch.nextafter(result, x), result)


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
        return None if eps is None else ThreatModel(self.norm, eps, self.mask, self.patch)

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
        return ThreatModel(named.norm, named.eps, named.mask, named.patch)
    for norm, radii in own.items():
        for radius in radii.values():
            ThreatModel(norm, radius)  # raises where it is none
    opened = OpenThreatModel(named.norm, mask=named.mask, patch=named.patch, eps_on=own)
    return opened.in_norm(named.norm)


def _radii(norm: Norm, own: EpsOn) -> Iterator[float]:
    for data in USUAL_EPS.get(norm, {}):
        eps = eps_on(norm, data, own)
        if eps is not None:
            yield eps
    yield from own.get(norm, {}).values()
