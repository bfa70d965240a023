"""The norm that an attack bounds is found, also where the attack does not say it."""

import math

from torchattacks.attack import Attack as TorchAttack

from robust.errors import check_radius
from robust.types import Norm

# torchattacks does not say which norm these bound; the others have a `norm`, or are checked by the
# distance of what they return.
_NORMS: dict[str, Norm] = {
    **dict.fromkeys(("FGSM", "BIM", "PGD", "MIFGSM", "RFGSM", "FFGSM", "TPGD", "EOTPGD"), "Linf"),
    **dict.fromkeys(("PGDL2", "PGDRSL2", "CW", "DeepFool"), "L2"),
}


def norm_of(attack: TorchAttack) -> str | None:
    """Return the norm that an attack bounds; None if nothing says which."""
    norm: str | None = getattr(attack, "norm", _NORMS.get(type(attack).__name__))
    return norm


def check_attack_radius(attack: TorchAttack) -> None:
    """Raise if an attack of a training has an eps that is no radius in pixel units.

    Raises:
        ConfigError: If ``eps`` is larger than the range of a pixel, with what was perhaps meant.
    """
    eps = getattr(attack, "eps", None)
    norm = norm_of(attack)
    if norm is not None and isinstance(eps, int | float) and math.isfinite(eps):
        check_radius(norm, eps)
