"""The last layer of a defense, its features, and what it returns between two classes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robust.data.module_arguments import usual_batch
from robust.defenses.base import Defense
from robust.duck_typing import ByAttribute
from robust.errors import ConfigError
from robust.measures.unit_test.readouts import Line, logits_line
from robust.types import Images

_BATCH, _ON_CPU = 500, 125
"""Points whose features are computed together at most. More do not fit into the cache of a CPU."""


class NotMeasured(ConfigError):
    """A defense has no last layer that a read-out can stand for, or a suite no attack to try."""


@runtime_checkable
class HasLine(Protocol, metaclass=ByAttribute):
    """Such a defense has outputs that are no scores, and says which lead from class to class."""

    def line_of_outputs(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Return outputs on the boundary of classes 0 and 1, and the way from there to class 1."""
        ...


class LastLayer(NamedTuple):
    """The layer whose input are the features, and whose output alone decides on the scores."""

    layer: nn.Module
    outputs: Float[Tensor, "n k"]
    """What it returns on some images, flat."""
    classes: int


@torch.no_grad()
def last_layer(defense: Defense, x: Images, name: str | None = None) -> LastLayer:
    """Return the last linear layer of a defense, or the named one, with its outputs on some images.

    Args:
        defense: What is called.
        x: The images.
        name: A module of its network, such as ``head``, whose input are the features.

    Raises:
        NotMeasured: If there is none, or scores also come from somewhere else.
        ConfigError: If the network has no module of that name.
    """
    calls: list[_Call] = []
    looked_at = _linear_layers(defense) if name is None else [layer_named(defense, name)]
    with _hooked(looked_at, lambda *call: calls.append(_Call(*call))):
        scores = defense(x)
    layer, outputs = _last(defense, calls, len(x), name)
    with _hooked([layer], lambda _, __, found: torch.zeros_like(found)):
        one, other = defense(torch.stack([x[0], 1 - x[0]]))
    if not torch.equal(one, other):
        raise NotMeasured(
            f"Expected scores that come from {_called(name)} alone for the attack unit test, "
            f"but those of {type(defense).__name__} do not. {_not_measured(name)}"
        )
    return LastLayer(layer, outputs.flatten(1), scores.shape[1])


class _Call(NamedTuple):
    """A call of a layer."""

    layer: nn.Module
    args: tuple[Any, ...]
    outputs: Any

    def is_usable(self, n: int, *, flat: bool) -> bool:
        """Return whether it takes and returns a row for each image."""
        is_row = [
            isinstance(part, Tensor) and len(part) == n for part in (*self.args[:1], self.outputs)
        ]
        return is_row == [True, True] and (self.outputs.ndim == 2 or not flat)


def _last(
    defense: Defense, calls: list[_Call], n: int, name: str | None
) -> tuple[nn.Module, Tensor]:
    """Return the layer of the last call with its outputs, which are flat if it has no name."""
    if calls and calls[-1].is_usable(n, flat=name is None):
        return calls[-1].layer, calls[-1].outputs
    raise NotMeasured(
        f"Expected {'a last linear layer' if name is None else f'a row of {name} for each image'} "
        f"for the attack unit test, but {type(defense).__name__} has none. {_not_measured(name)}"
    )


def _linear_layers(defense: Defense) -> list[nn.Module]:
    return [module for module in defense.modules() if isinstance(module, nn.Linear)]


def _not_measured(name: str | None) -> str:
    """Return the end of a message, which says what may help where no layer was named."""
    help_ = "" if name is not None else " --features may name a layer that does."
    return f"It is not measured.{help_}"


def _called(name: str | None) -> str:
    return "the last linear layer" if name is None else name


def layer_named(defense: Defense, name: str) -> nn.Module:
    """Return a module of the network, such as the one whose input are the features.

    Raises:
        ConfigError: If there is none of that name.
    """
    known: dict[str, nn.Module] = dict(defense.network.named_modules())
    if name in known and name:
        return known[name]
    near = get_close_matches(name, known, n=1) or [_last_name(known)]
    raise ConfigError(
        f"Expected a layer of {type(defense.network).__name__} for the features, but got "
        f"{name[:_SHOWN]!r}. Did you mean {near[0]}?"
    )


def _last_name(known: Iterable[str]) -> str:
    return list(known)[-1] or "none"


_SHOWN = 40
"""Characters of a name that a message shows."""


def line_of(defense: Defense, last: LastLayer) -> Line:
    """Return what the last layer returns between classes 0 and 1.

    Raises:
        NotMeasured: If it has other than one output for each class, and the defense does not say.
    """
    if isinstance(defense, HasLine):
        start, way = defense.line_of_outputs()
        return Line(start, way, torch.zeros_like(start, dtype=torch.bool))
    outputs = last.outputs.shape[1]
    if outputs != last.classes:
        raise NotMeasured(
            f"Expected an output for each of {last.classes} classes for the attack unit test, but "
            f"got {outputs}. {_not_measured(None)}"
        )
    return logits_line(last.classes, last.outputs.device)


@torch.no_grad()
def features_of(defense: Defense, layer: nn.Module, images: Images) -> Float[Tensor, "n f"]:
    """Return what enters a layer when the defense is asked about images."""
    seen: list[Tensor] = []
    most = _ON_CPU if images.device.type == "cpu" else _BATCH
    with _hooked([layer], lambda _, args, __: seen.append(args[0].flatten(1))):
        for some in torch.split(images, min(most, usual_batch(images.shape[1:]))):
            defense(some)
    return torch.cat(seen)


@contextmanager
def _hooked(layers: Iterable[nn.Module], hook: Callable[[Any, Any, Tensor], Any]) -> Iterator[None]:
    """Call a hook after each of some layers, until the context ends."""
    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(hook).remove)
        yield
