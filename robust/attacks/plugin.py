"""An attack of another library, or a function, runs in a suite as ours do."""

import functools
import hashlib
import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torchattacks.attack import Attack as TorchAttack

from robust.attacks.base import Attack
from robust.errors import ConfigError, in_short
from robust.types import Images, Labels, Norm


@final
class Plugin(Attack):
    """Plugin calls a function of a model, images and labels that returns adversarial images.

    Attacks of adversarial-library are such functions, and those of foolbox are called as it wants.
    A suite that names one by its path gets a Plugin. What it returns is checked and judged as that
    of any attack. One that takes no ``eps`` looks for the nearest adversarial image.

    Args:
        model: View to attack.
        attack: The function; or a class of foolbox, or an object of it. Arguments of a partial
            function count as ``arguments``.
        arguments: Further arguments of the function or class.
        eps: Radius, which a function gets that takes one.
        norm: Norm; a function that takes one gets its number.

    Raises:
        ConfigError: If the function cannot be called so, or returns something else.
    """

    def __init__(
        self,
        model: nn.Module,
        attack: Callable[..., Any],
        arguments: Mapping[str, Any] | None = None,
        eps: float = 8 / 255,
        norm: Norm = "Linf",
    ) -> None:
        super().__init__(model)
        given = dict(arguments or {})
        inner: Any = attack
        if isinstance(inner, functools.partial) and not inner.args:
            attack, given = inner.func, {**inner.keywords, **given}
        self.of = _name(attack)
        self.given = repr(sorted(given.items()))
        self.source = _source(attack)
        self.norm = norm
        call = _foolbox(attack, given) if is_of_foolbox(attack) else None
        self._call = functools.partial(attack, **given) if call is None else call
        taken = parameters_of(attack) if call is None else ("epsilons",)
        self._takes_eps = "eps" in taken or (call is not None and not _is_minimal(attack))
        if self._takes_eps:
            self.eps = given.get("eps", eps)
        if "norm" in taken and "norm" not in given and call is None:
            self._call = functools.partial(self._call, norm=_AS_NUMBER[norm])
        self.supported_mode = ["default", *(["targeted"] if "targeted" in taken else [])]

    def forward(self, images: Tensor, labels: Labels) -> Images:
        """Return what the attack returns."""
        target = self.target(images, labels)
        more: dict[str, Any] = {"eps": self.eps} if self._takes_eps else {}
        if target is not None:
            labels, more["targeted"] = target, True
        try:
            returned = self._call(self.model, images.clone(), labels.clone(), **more)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of any code
            raise ConfigError(
                f"Expected {self.of} to attack as a function of a model, images and labels, but "
                f"it failed ({in_short(error)}). Check its arguments."
            ) from error
        if not isinstance(returned, Tensor) or returned.shape != images.shape:
            got = tuple(returned.shape) if isinstance(returned, Tensor) else type(returned).__name__
            raise ConfigError(
                f"Expected {self.of} to return images of the shape {tuple(images.shape)}, but got "
                f"{got}. Return the adversarial images alone."
            )
        return returned.detach()


_AS_NUMBER: dict[Norm, float] = {"Linf": math.inf, "L2": 2.0, "L1": 1.0, "L0": 0.0}
"""As adversarial-library names norms."""


def _foolbox(attack: Callable[..., Any], given: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a function that calls an attack of foolbox.

    Args:
        attack: An object, or a class, which gets the arguments.
        given: The arguments.
    """
    built = attack(**given) if isinstance(attack, type) else attack

    def call(model: nn.Module, x: Images, y: Labels, eps: float | None = None) -> Any:  # noqa: ANN401
        foolbox = importlib.import_module("foolbox")
        seen = foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
        _, clipped, _ = built(seen, x, y, epsilons=eps)
        return clipped

    return call


def is_plugin(found: object) -> bool:
    """Return whether something takes a model, images and labels, and builds no attack on a view."""
    if isinstance(found, type):
        return not issubclass(found, TorchAttack) and is_of_foolbox(found)
    if not callable(found) or isinstance(found, nn.Module):
        return False
    return is_of_foolbox(found) or len(_required(found)) >= _TAKEN


_TAKEN = 3
"""Arguments without a default: what builds an attack has the view, and perhaps its eps."""


def _required(function: Callable[..., Any]) -> list[str]:
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = parameters_of(function).values()
    return [p.name for p in parameters if p.default is p.empty and p.kind in by_position]


def parameters_of(attack: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a function or class; none of code that is not Python's."""
    try:
        return inspect.signature(attack).parameters
    except (TypeError, ValueError):
        return {}


def is_of_foolbox(attack: object) -> bool:
    """Return whether an attack is a class of foolbox, or an object of one."""
    return any(base.__module__.startswith("foolbox.") for base in _class_of(attack).__mro__)


def _is_minimal(attack: object) -> bool:
    return any(base.__name__ == "MinimizationAttack" for base in _class_of(attack).__mro__)


def _name(attack: object) -> str:
    named = attack if hasattr(attack, "__qualname__") else type(attack)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', named)}"


def _source(attack: object) -> str:
    """Return a short hash of the code, so that records of another are not taken for its own."""
    function = attack if inspect.isroutine(attack) else _class_of(attack)
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):  # of a terminal, or of code that is not Python's
        code = getattr(function, "__code__", None)
        text = "" if code is None else repr((code.co_code, code.co_names, code.co_consts))
    enclosed = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    plain = [value for value in enclosed if isinstance(value, int | float | str)]
    text += repr(plain) if plain else ""
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def _class_of(attack: object) -> type:
    return attack if isinstance(attack, type) else type(attack)
