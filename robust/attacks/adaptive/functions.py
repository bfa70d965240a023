"""Functions that hide a gradient, by their names, each with what gives it one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robust.attacks.adaptive import choices, truths
from robust.attacks.adaptive.calls import Called, Rule
from robust.attacks.adaptive.slopes import rounded, step, widened
from robust.attacks.views import with_gradient_of


def rule_of(name: str) -> Rule | None:
    """Return the rule of a function; None if it needs none."""
    return _RULES.get(name)


def _sign(call: Called) -> Tensor:
    (x,) = call.args[:1]
    return with_gradient_of(call.exact, 2 * step(call.recipe, x > 0, x))


def _heaviside(call: Called) -> Tensor:
    return with_gradient_of(call.exact, step(call.recipe, call.args[0] > 0, call.args[0]))


def _rounded(halfway: bool) -> Rule:
    def rule(call: Called) -> Tensor:
        return rounded(call.recipe, call.exact, call.args[0], halfway=halfway)

    return rule


def _floor_division(call: Called) -> Any:  # noqa: ANN401
    one, other = (call.known.of(value) for value in call.args[:2])
    if not isinstance(call.exact, Tensor) or not isinstance(one, Tensor):
        return call.exact
    numbers = rounded(call.recipe, call.exact.to(one.dtype), one / other, halfway=False)
    if call.exact.is_floating_point():
        return numbers
    return call.known.keep(call.exact, numbers) if numbers.requires_grad else call.exact


def _cast(call: Called) -> Any:  # noqa: ANN401
    """Integers of floats, which are rounded towards zero."""
    x = call.args[0]
    is_cut = isinstance(call.exact, Tensor) and not call.exact.is_floating_point()
    if not is_cut or not x.is_floating_point() or not x.requires_grad:
        return NotImplemented
    exact = call.exact.to(x.dtype)
    return call.known.keep(call.exact, rounded(call.recipe, exact, x, halfway=False))


def _bucketized(place: int) -> Rule:
    def rule(call: Called) -> Any:  # noqa: ANN401
        x, bounds = call.args[place], call.args[1 - place]
        if not isinstance(bounds, Tensor) or bounds.ndim != 1 or not isinstance(x, Tensor):
            return call.exact
        steps = [step(call.recipe, x > bound, x - bound) for bound in bounds]
        return call.known.keep(call.exact, torch.stack(steps).sum(dim=0)) if steps else call.exact

    return rule


def _seen_through(call: Called) -> Any:  # noqa: ANN401
    return call.args[0].view_as(call.args[0])


def _flat(function: Callable[[Tensor], Tensor]) -> Rule:
    def rule(call: Called) -> Any:  # noqa: ANN401
        if call.recipe.flat == "own":
            return call.exact
        if call.recipe.flat == "straight":
            return with_gradient_of(call.exact, call.args[0])
        return widened(function, call.exact, call.args[0])

    return rule


def _leads(function: Callable[[Tensor], Tensor]) -> Rule:
    """Functions in which the largest value takes all."""

    def rule(call: Called) -> Any:  # noqa: ANN401
        dim = call.argument(1, "dim", -1)
        if call.recipe.flat == "own" or not isinstance(dim, int):
            return call.exact
        if call.recipe.flat == "straight":
            return with_gradient_of(call.exact, call.args[0].to(call.exact.dtype))
        z = call.args[0].movedim(dim, -1)
        return widened(function, call.exact.movedim(dim, -1), z, -1).movedim(-1, dim)

    return rule


def _inverse_root(x: Tensor) -> Tensor:
    return x / (1 + x.square()).sqrt()


STEPS = {
    **dict.fromkeys(("gt", "ge", "greater", "greater_equal"), truths.above),
    **dict.fromkeys(("lt", "le", "less", "less_equal"), truths.below),
    "eq": truths.equal,
    "sign": _sign,
    "sgn": _sign,
    "heaviside": _heaviside,
    "round": _rounded(halfway=True),
    **dict.fromkeys(("floor", "ceil", "trunc", "fix"), _rounded(halfway=False)),
    **dict.fromkeys(("floordiv", "floor_divide"), _floor_division),
    **dict.fromkeys(("long", "int", "short", "byte", "to", "type", "bool", "char"), _cast),
    "bucketize": _bucketized(0),
    "searchsorted": _bucketized(1),
    "argmax": choices.chosen(1),
    "argmin": choices.chosen(-1),
    "topk": choices.leading,
}
"""Functions with steps."""
FLAT = {
    "tanh": _flat(torch.tanh),
    "sigmoid": _flat(torch.sigmoid),
    "erf": _flat(torch.erf),
    "softsign": _flat(_inverse_root),
    **dict.fromkeys(("hardtanh", "clamp", "clip", "relu6", "hardsigmoid"), _flat(_inverse_root)),
    "softmax": _leads(choices.softmax),
    "exp": _leads(torch.exp),
}
"""Functions that become flat."""
HIDDEN = {"detach": _seen_through, "data": _seen_through}
"""What takes the gradient away."""
_RULES: dict[str, Rule] = {
    **STEPS,
    **FLAT,
    **HIDDEN,
    **dict.fromkeys(("invert", "logical_not", "bitwise_not"), truths.negated),
    **dict.fromkeys(("and", "logical_and", "bitwise_and"), truths.logical(truths.both)),
    **dict.fromkeys(("or", "logical_or", "bitwise_or"), truths.logical(truths.either)),
    **dict.fromkeys(("xor", "logical_xor", "bitwise_xor"), truths.logical(truths.one_alone)),
    "max": choices.chosen(1),
    "min": choices.chosen(-1),
    "one_hot": choices.one_hot,
    "getitem": choices.looked_up(0, 1),
    "embedding": choices.looked_up(1, 0),
    "index_select": choices.looked_up(0, 2),
    "scatter": choices.scattered,
    "where": truths.where,
    "masked_fill": truths.filled,
    "setitem": truths.set_values,
}
