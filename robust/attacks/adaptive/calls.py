"""A call of a function of torch, as rules see it that give it a gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from robust.attacks.adaptive.slopes import Recipe
from robust.attacks.adaptive.stand_ins import StandIns


class Called(NamedTuple):
    """A call of a function, with what it returned and what is known of its arguments."""

    recipe: Recipe
    known: StandIns
    exact: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def argument(self, place: int, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """Return an argument that is given by its place or by its name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)


Rule = Callable[[Called], Any]
"""It returns what a function returned, with a gradient; `NotImplemented` if it has no say."""


def as_floats(value: Any) -> Any:  # noqa: ANN401
    """Return a tensor of integers or truth values as floats; anything else as it is."""
    is_exact = isinstance(value, Tensor) and not value.is_floating_point()
    return value.float() if is_exact else value
