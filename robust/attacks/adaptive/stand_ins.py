"""Integers and truth values have no gradient, so tensors of floats stand in for them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robust.attacks.views import with_gradient_of


class StandIns:
    """StandIns keeps what stands in for tensors without a gradient, within one pass of a network.

    A comparison gives truth values, and later functions make numbers of these. Each such tensor has
    a stand-in: floats of the same values, with a gradient.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, tuple[Tensor, Tensor]] = {}
        self._choices: list[tuple[Tensor, Tensor]] = []

    def __contains__(self, value: object) -> bool:
        return id(value) in self._numbers

    def of(self, value: Any) -> Any:  # noqa: ANN401
        """Return what stands in for a value; the value itself if nothing does."""
        known = self._numbers.get(id(value))
        return value if known is None else known[1]

    def keep(self, exact: Tensor, numbers: Tensor) -> Tensor:
        """Keep what stands in for ``exact``, and return that."""
        # With the tensor itself, whose address no other can have then.
        self._numbers[id(exact)] = (exact, with_gradient_of(exact.to(numbers.dtype), numbers))
        return exact

    def choose(self, index: Tensor, one_hot: Tensor) -> None:
        """Keep the one-hot rows, with a gradient, of the classes that ``index`` names."""
        self._choices.append((index, one_hot))

    def choice(self, index: object) -> Tensor | None:
        """Return the one-hot rows of an index, in whatever shape; None if they are not known."""
        for known, one_hot in reversed(self._choices):
            if isinstance(index, Tensor) and _same(known, index):
                return one_hot
        return None

    def followed(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        exact: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Return what a function made, with the gradient through the stand-ins of its arguments."""
        if not isinstance(exact, Tensor) or not any(map(self._is_known, (*args, *kwargs.values()))):
            return exact
        try:
            numbers = function(*map(self._replaced, args), **_mapped(self._replaced, kwargs))
        except (RuntimeError, TypeError, IndexError, ValueError):
            return exact  # a function of truth values alone, which has a rule or no gradient
        if not isinstance(numbers, Tensor) or numbers.shape != exact.shape:
            return exact
        if not numbers.is_floating_point():
            return exact
        if exact.is_floating_point():
            return with_gradient_of(exact, numbers.to(exact.dtype))
        return self.keep(exact, numbers)

    def _is_known(self, value: object) -> bool:
        return any(map(self._is_known, value)) if _is_several(value) else value in self  # type: ignore[call-overload]

    def _replaced(self, value: Any) -> Any:  # noqa: ANN401
        return type(value)(map(self._replaced, value)) if _is_several(value) else self.of(value)


def _is_several(value: object) -> bool:
    return type(value) in (list, tuple)


def _mapped(change: Callable[[Any], Any], values: dict[str, Any]) -> dict[str, Any]:
    return {key: change(value) for key, value in values.items()}


def _same(one: Tensor, other: Tensor) -> bool:
    if one is other:
        return True
    alike = one.numel() == other.numel() and one.dtype == other.dtype
    return alike and torch.equal(one.flatten(), other.flatten())
