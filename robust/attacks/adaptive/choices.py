"""Choices of the best get a gradient: its index, and what follows from that."""

from typing import Any

import torch
from torch import Tensor

from robust.attacks.adaptive.calls import Called, Rule, as_floats
from robust.attacks.adaptive.slopes import step, widened
from robust.attacks.views import with_gradient_of


def chosen(sign: int) -> Rule:
    """Return the rule of an index of the largest value, or of the smallest, alone or with it."""

    def rule(call: Called) -> Any:  # noqa: ANN401
        dim = call.argument(1, "dim")
        index = call.exact if isinstance(call.exact, Tensor) else call.exact[1]
        if isinstance(dim, int) and call.args[0].is_floating_point():
            z = sign * call.args[0].movedim(dim, -1)
            kept = index.movedim(dim, -1) if index.ndim == z.ndim else index.unsqueeze(-1)
            exact = torch.zeros_like(z).scatter(-1, kept, 1.0)
            soft = call.recipe.steps == "soft"
            one_hot = widened(softmax, exact, z, -1) if soft else with_gradient_of(exact, z)
            call.known.choose(index, one_hot)
        return call.exact

    return rule


def softmax(z: Tensor) -> Tensor:
    """Return the softmax over the last dimension."""
    return z.softmax(dim=-1)


def one_hot(call: Called) -> Any:  # noqa: ANN401
    """Return one-hot rows of a known choice, with its gradient."""
    rows = call.known.choice(call.args[0])
    if rows is None or call.exact.shape[-1] < rows.shape[-1]:
        return call.exact
    missing = call.exact.shape[-1] - rows.shape[-1]
    padded = torch.nn.functional.pad(rows, (0, missing)).reshape(call.exact.shape)
    return call.known.keep(call.exact, padded)


def looked_up(table_at: int, index_at: int) -> Rule:
    """Return the rule of rows of a table that an index names."""

    def rule(call: Called) -> Any:  # noqa: ANN401
        table, index = call.args[table_at], call.args[index_at]
        rows = call.known.choice(index)
        if rows is not None and isinstance(table, Tensor) and len(table) == rows.shape[-1]:
            table = as_floats(call.known.of(table))
            found = (rows @ table.flatten(1) if table.ndim > 1 else rows @ table).reshape(
                call.exact.shape
            )
            if call.exact.is_floating_point():
                return with_gradient_of(call.exact, found)
            return call.known.keep(call.exact, found)
        if index in call.known and isinstance(table, Tensor) and table.ndim == 1:
            return _between_levels(call, table, index)
        return NotImplemented

    return rule


def _between_levels(call: Called, table: Tensor, index: Tensor) -> Any:  # noqa: ANN401
    """Levels that numbers name, whose slope is that of the levels around them."""
    if not call.exact.is_floating_point() or len(table) < 2:
        return call.exact
    last = len(table) - 1
    low, high = (index.long() - 1).clamp(0, last), (index.long() + 1).clamp(0, last)
    slope = (table[high] - table[low]).detach() / (high - low).clamp_min(1)
    return with_gradient_of(call.exact, call.known.of(index) * slope)


def scattered(call: Called) -> Any:  # noqa: ANN401
    """Return a number that is put at a known choice, with its gradient."""
    base, dim, index = call.args[:3]
    value = call.argument(3, "value", call.kwargs.get("src"))
    rows = call.known.choice(index)
    if rows is None or not isinstance(dim, int) or not isinstance(value, int | float):
        return call.exact
    moved = rows.movedim(-1, dim) if rows.ndim == call.exact.ndim else rows
    if moved.shape != call.exact.shape or not call.exact.is_floating_point():
        return call.exact
    return with_gradient_of(call.exact, (base.detach() + value * moved).to(call.exact.dtype))


def leading(call: Called) -> Any:  # noqa: ANN401
    """Return the few largest values of each row, whose index then makes a mask."""
    x, count = call.args[0], call.argument(1, "k")
    dim = call.argument(2, "dim", -1)
    if isinstance(count, int) and x.is_floating_point() and 0 < count < x.shape[dim]:
        sign = 1 if call.argument(3, "largest", True) else -1
        z = sign * x.movedim(dim, -1)
        bound = z.detach().topk(count, dim=-1).values[..., -1:]
        mask = step(call.recipe, z >= bound, z - bound)
        call.known.choose(call.exact[1], mask)
    return call.exact
