"""A pass of any network can get another gradient, without a change of what it computes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from robust.attacks.adaptive.calls import Called, Rule
from robust.attacks.adaptive.functions import STEPS, rule_of
from robust.attacks.adaptive.slopes import Recipe
from robust.attacks.adaptive.stand_ins import StandIns


class Seen(NamedTuple):
    """A function that a network called, what it got, and what it returned."""

    name: str
    args: tuple[Any, ...]
    returned: Any


class OtherGradient(TorchFunctionMode):
    """OtherGradient has each function of torch that hides a gradient show one (`functions`).

    Values stay exactly as they are. What a network computes without a gradient, by ``detach`` or
    ``no_grad``, has one, too. Code outside of torch has none, and neither has a program that torch
    does not see function by function.

    Args:
        recipe: Which slopes stand in for which.
        look: Is told of each function that the network calls, in order.
    """

    def __init__(self, recipe: Recipe, look: Callable[[Seen], None] | None = None) -> None:
        super().__init__()
        self._recipe, self._look = recipe, look
        self._known = StandIns()
        self._with_gradient = False

    def __enter__(self) -> "OtherGradient":
        self._with_gradient = torch.is_grad_enabled()
        return super().__enter__()  # type: ignore[no-any-return,no-untyped-call]

    def __torch_function__(
        self,
        function: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        name = name_of(function)
        if name in _LEAVES_TORCH:
            args = (args[0].detach(), *args[1:])
        returned = None
        if name != "set_grad_enabled" or not self._with_gradient:
            returned = self._returned(name, function, args, kwargs)
        if self._look is not None:
            self._look(Seen(name, args, returned))
        return returned

    def _returned(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # noqa: ANN401
        if not self._with_gradient:
            return function(*args, **kwargs)
        rule = rule_of(name) if args and isinstance(args[0], Tensor) else None
        if rule is None or not _is_in_place(function, name):
            return self._followed(name, rule, function, args, kwargs)
        earlier = (args[0].clone(), *args[1:])
        if name == "setitem":
            function(*args, **kwargs)
            call = Called(self._recipe, self._known, args[0], (*earlier, args[0]), kwargs)
            return rule(call)
        return args[0].copy_(self._followed(name, rule, _on_copy(function), earlier, kwargs))

    def _followed(
        self,
        name: str,
        rule: Rule | None,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # noqa: ANN401
        # Some functions with steps cannot be called where a gradient is asked for.
        with torch.set_grad_enabled(name not in STEPS or name in _WITH_GRADIENT):
            exact = function(*args, **kwargs)
        if rule is not None:
            found = rule(Called(self._recipe, self._known, exact, args, kwargs))
            if found is not NotImplemented:
                return found
        return self._known.followed(function, args, kwargs, exact)


_LEAVES_TORCH = ("numpy", "array", "tolist")
_WITH_GRADIENT = ("to", "type", "topk")
"""These have steps for some arguments alone."""


def name_of(function: Any) -> str:  # noqa: ANN401
    """Return the name of a function of torch, of a method, or of the operator behind both."""
    name = getattr(function, "__name__", "")
    if name == "__get__":
        name = getattr(getattr(function, "__self__", None), "__name__", "")
    return str(name).partition(".")[0].strip("_")


def _is_in_place(function: Any, name: str) -> bool:  # noqa: ANN401
    called = getattr(function, "__name__", "").partition(".")[0]
    return name == "setitem" or (called.endswith("_") and not called.endswith("__"))


def _on_copy(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: function(x.clone(), *args, **kwargs)
