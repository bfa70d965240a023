"""The threat model of a suite whose eps is that of the data set, which is not known at first."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import final

from robust.threat import NamedThreatModel, ThreatModel
from robust.types import Norm
from robust.usual_eps import USUAL_EPS, EpsOn, eps_on


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
