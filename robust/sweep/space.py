"""The parameters of a sweep file become parameters of Optuna, and what it chooses their values."""

import bisect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy import special

from robust.io.yaml_writing import flow
from robust.sweep.schema import distribution_of

Distribution = CategoricalDistribution | IntDistribution | FloatDistribution
"""What Optuna searches."""
LEAST, MOST = 2.0**-32, 1 - 2.0**-32
"""Ends of a unit parameter: a normal distribution is cut at 6.2 standard deviations."""


@final
@dataclass(frozen=True)
class Parameter:
    """A parameter that is searched.

    Args:
        path: Its keys, more than one if it is nested.
        distribution: What Optuna searches.
        value: Returns the parameter's value of what Optuna chose.
    """

    path: tuple[str, ...]
    distribution: Distribution
    value: Callable[[Any], Any]


@final
class Space:
    """The parameters of a sweep file.

    Args:
        parameters: The checked ``parameters`` of the file.
        is_grid: Whether all combinations are run.

    Raises:
        ValueError: If a grid has a parameter without an end, or a parameter has values that are not
            finite.
    """

    def __init__(self, parameters: Mapping[str, Any], *, is_grid: bool) -> None:
        self._constants: dict[tuple[str, ...], Any] = {}
        self.parameters: dict[str, Parameter] = {}
        """In alphabetical order, by names that tell nested ones apart."""
        for path, given in sorted(_flat(parameters), key=lambda pair: pair[0]):
            kind = distribution_of(given)
            if kind == "constant":
                self._constants[path] = given["value"]
                continue
            make = _in_grid if is_grid else _searched
            self.parameters["/".join(path)] = Parameter(path, *make(path, kind, given))

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna searches, by name."""
        return {name: p.distribution for name, p in self.parameters.items()}

    @property
    def size(self) -> int:
        """The number of points of a grid."""
        return math.prod(_count(p.distribution) for p in self.parameters.values())

    def point(self, index: int) -> dict[str, int]:
        """Return a point of a grid as Optuna has it; the last parameter changes fastest."""
        chosen = {}
        for name, parameter in reversed(self.parameters.items()):
            index, chosen[name] = divmod(index, _count(parameter.distribution))
        return chosen

    def values(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all parameters, of what Optuna chose for those that are searched."""
        found = {p.path: p.value(chosen[name]) for name, p in self.parameters.items()}
        nested: dict[str, Any] = {}
        for path, value in sorted((found | self._constants).items(), key=lambda pair: pair[0]):
            inner = nested
            for key in path[:-1]:
                inner = inner.setdefault(key, {})
            inner[path[-1]] = value
        return nested


def _flat(
    parameters: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    for key, given in parameters.items():
        if "parameters" in given:
            yield from _flat(given["parameters"], (*above, key))
        else:
            yield (*above, key), given


def _count(distribution: Distribution) -> int:
    return len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else 0


_Searched = tuple[Distribution, Callable[[Any], Any]]


def _in_grid(path: tuple[str, ...], kind: str, given: Mapping[str, Any]) -> _Searched:
    match kind:
        case "categorical":
            # A value that is written twice is run once.
            values = list({flow(value): value for value in given["values"]}.values())
        case "int_uniform":
            values = list(range(given["min"], given["max"] + 1))
        case "q_uniform":  # as NumPy's arange, which W&B takes
            least, q = given["min"], given.get("q", 1.0)
            count = math.ceil((given["max"] - least) / q)
            values = [least + n * q for n in range(count)]
        case _:
            raise ValueError(
                f"its parameter {'.'.join(path)} is {kind}, but a grid can search `values`, "
                "int_uniform and q_uniform alone"
            )
    return _choice(values)


def _searched(path: tuple[str, ...], kind: str, given: Mapping[str, Any]) -> _Searched:
    """Return a parameter as Optuna has it, or through a unit parameter if it has none such."""
    match kind:
        case "categorical":
            return _choice(given["values"])
        case "int_uniform":
            return IntDistribution(given["min"], given["max"]), int
        case "uniform":
            return FloatDistribution(given["min"], given["max"]), float
        case "log_uniform_values" | "inv_log_uniform_values":
            # The logarithm of 1/x is uniform where that of x is.
            return FloatDistribution(given["min"], given["max"], log=True), float
    value = _of_unit(kind, given)
    try:
        ends = [value(unit) for unit in (LEAST, 0.5, MOST)]
        is_finite = kind == "categorical_w_probabilities" or all(map(math.isfinite, ends))
    except (ArithmeticError, ValueError):
        is_finite = False
    if not is_finite:
        raise ValueError(f"its parameter {'.'.join(path)} has values that are not finite")
    return FloatDistribution(LEAST, MOST), value


def _choice(values: Sequence[Any]) -> _Searched:
    """Return a choice by index, since Optuna takes no lists and mappings."""
    return CategoricalDistribution(tuple(range(len(values)))), values.__getitem__


def _of_unit(kind: str, given: Mapping[str, Any]) -> Callable[[float], Any]:
    """Return the inverse cumulative distribution function of a parameter, as W&B means it."""
    if kind == "categorical_w_probabilities":
        bounds = list(itertools.accumulate(given["probabilities"]))
        return lambda unit: given["values"][bisect.bisect_right(bounds, unit * bounds[-1])]
    inverse = _INVERSES[kind.removeprefix("q_")]
    if not kind.startswith("q_"):
        return lambda unit: float(inverse(given, unit))
    q = given.get("q", 1.0)
    return lambda unit: round(float(inverse(given, unit)) / q) * q


def _between(given: Mapping[str, Any], unit: float) -> float:
    return float(given["min"] + unit * (given["max"] - given["min"]))


def _normal(given: Mapping[str, Any], unit: float) -> float:
    return float(given.get("mu", 0.0) + given.get("sigma", 1.0) * special.ndtri(unit))


def _log_between(given: Mapping[str, Any], unit: float) -> float:
    least, most = math.log(given["min"]), math.log(given["max"])
    return math.exp(least + unit * (most - least))


_INVERSES: Mapping[str, Callable[[Mapping[str, Any], float], float]] = {
    "uniform": _between,
    "log_uniform": lambda given, unit: math.exp(_between(given, unit)),  # ends are exponents
    "log_uniform_values": _log_between,
    "inv_log_uniform": lambda given, unit: math.exp(-_between(given, 1 - unit)),
    "normal": _normal,
    "log_normal": lambda given, unit: math.exp(_normal(given, unit)),
    "beta": lambda given, unit: special.betaincinv(given.get("a", 1), given.get("b", 1), unit),
}
