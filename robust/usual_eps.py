"""The eps that papers take on a data set, which suites attack at where nobody gave another."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from robust.errors import ConfigError
from robust.vocabulary import Norm

EpsOn = Mapping[Norm, Mapping[str, float]]
"""Radii by norm and name of a data set."""
Usual = Literal["usual"]
"""Suites write it for an eps that is the usual one of the data set."""
OTHER = "other"
"""A suite writes it for data sets that it does not name."""

_GREY = ("digits", "mnist", "fashion_mnist")
_COLOR = ("cifar10", "cifar100", "svhn")
USUAL_EPS: EpsOn = MappingProxyType(
    {
        "Linf": {
            **{"digits": 0.2, "mnist": 0.3, "fashion_mnist": 0.1},
            **dict.fromkeys(_COLOR, 8 / 255),
        },
        "L2": {**dict.fromkeys(_GREY, 1.5), **dict.fromkeys(_COLOR, 0.5)},
    }
)
"""MNIST, Fashion-MNIST and colour images: Madry et al. 2018; Wong and Kolter 2018; RobustBench."""


def eps_on(norm: Norm, data: str, own: EpsOn) -> float | None:
    """Return the eps of a suite on a data set; None if somebody has to say it.

    Args:
        norm: The norm of its threat model.
        data: Name of the data set.
        own: Where the suite differs from `USUAL_EPS`.
    """
    given, usual = own.get(norm, {}), USUAL_EPS.get(norm, {})
    return given.get(data, usual.get(data, given.get(OTHER)))


def no_usual_eps(suite: str, norm: str, data: str) -> ConfigError:
    """Return the error of a suite that needs an eps, on a data set that has no usual one."""
    return ConfigError(
        f"Expected an eps for suite {suite} on {data[:_SHOWN]}, but no {norm} radius is usual "
        "there. Give one, such as `--eps 8/255` to evaluate or `eps=8/255` in Python."
    )


_SHOWN = 60
