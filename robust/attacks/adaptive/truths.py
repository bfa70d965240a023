"""Truth values get a gradient: comparisons, and what follows from them."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from robust.attacks.adaptive.calls import Called, Rule, as_floats
from robust.attacks.adaptive.slopes import step


def above(call: Called) -> Any:  # noqa: ANN401
    """Return truth values that say where the first argument is above the second."""
    return _compared(call, 1)


def below(call: Called) -> Any:  # noqa: ANN401
    """Return truth values that say where the first argument is below the second."""
    return _compared(call, -1)


def _compared(call: Called, sign: int) -> Any:  # noqa: ANN401
    """Truth values where one argument is above the other, or below if ``sign`` is negative."""
    way = _difference(call)
    return call.exact if way is None else _kept_step(call, sign * way)


def equal(call: Called) -> Any:  # noqa: ANN401
    """Return truth values that say where a value is the largest, or the smallest."""
    way = _difference(call)
    if way is None or not ((way <= 0).all() or (way >= 0).all()):
        return call.exact
    return _kept_step(call, way if (way <= 0).all() else -way)


def _difference(call: Called) -> Tensor | None:
    one, other = (call.known.of(value) for value in call.args[:2])
    tensors = [value for value in (one, other) if isinstance(value, Tensor)]
    if not any(value.requires_grad for value in tensors) or not isinstance(call.exact, Tensor):
        return None
    way: Tensor = one - other
    return way


def _kept_step(call: Called, way: Tensor) -> Tensor:
    return call.known.keep(call.exact, step(call.recipe, call.exact, way))


def negated(call: Called) -> Tensor:
    """Return the opposite of truth values."""
    if call.args[0] not in call.known:
        return call.exact  # type: ignore[no-any-return]
    return call.known.keep(call.exact, 1 - call.known.of(call.args[0]))


def logical(combined: Callable[[Tensor, Tensor], Tensor]) -> Rule:
    """Return the rule of truth values of two arguments."""

    def rule(call: Called) -> Any:  # noqa: ANN401
        if not any(value in call.known for value in call.args[:2]):
            return call.exact
        one, other = (as_floats(call.known.of(value)) for value in call.args[:2])
        return call.known.keep(call.exact, combined(one, other))

    return rule


def both(one: Tensor, other: Tensor) -> Tensor:
    """Return where both are true."""
    return one * other


def either(one: Tensor, other: Tensor) -> Tensor:
    """Return where any is true."""
    return one + other - one * other


def one_alone(one: Tensor, other: Tensor) -> Tensor:
    """Return where one alone is true."""
    return one + other - 2 * one * other


def where(call: Called) -> Any:  # noqa: ANN401
    """Return values of which truth values choose."""
    if len(call.args) < 3 or call.args[0] not in call.known:
        return NotImplemented
    return _switched(call, call.args[0], call.args[1], call.args[2])


def filled(call: Called) -> Any:  # noqa: ANN401
    """Return values, with another where truth values say so."""
    x, mask, value = call.args[:3]
    return _switched(call, mask, value, x) if mask in call.known else NotImplemented


def _switched(call: Called, mask: Tensor, one: Any, other: Any) -> Any:  # noqa: ANN401
    if not call.exact.is_floating_point():
        return call.exact
    soft = call.known.of(mask)
    gap = one - other
    gap = gap.detach().nan_to_num(0, 0, 0) if isinstance(gap, Tensor) else gap
    return call.exact + gap * (soft - soft.detach())


def set_values(call: Called) -> None:
    """Set values where truth values say so, with a gradient."""
    earlier, key, value, base = call.args
    if key not in call.known or key.shape != base.shape or isinstance(value, Tensor):
        return
    soft = call.known.of(key)
    base.copy_(base + (value - earlier.detach()) * (soft - soft.detach()))
