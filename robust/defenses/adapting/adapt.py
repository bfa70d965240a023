"""A network that was trained elsewhere becomes a defense, and is checked before minutes are spent.

Each check says one line: what would spoil the numbers ends the evaluation, the rest is a note.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn
from torch.export import ExportedProgram

from robust.attacks import isolated
from robust.checkpoints import UNTRAINED
from robust.data import ImageDataModule
from robust.defenses import Defense, Pretrained
from robust.defenses.adapting.checks import (
    check_accuracy,
    check_classes,
    check_gradient,
    check_view,
    scores_of,
    set_outputs,
)
from robust.defenses.sizes import outputs_of, take_sizes
from robust.errors import ConfigError
from robust.networks.arguments import is_untouched
from robust.networks.foreign import Called, Foreign, find_batch_size, per_channel
from robust.types import Images, Labels
from robust.vocabulary import Channels, Outputs

_SOME = 200
"""Images that the checks look at."""
_PIECES = 8
"""Places of the test set that these are from: images of a folder are in the order of classes."""


class Given(NamedTuple):
    """What a caller says of a network, beside the network itself."""

    mean: Any = None
    """Numbers: one a channel, or one for all."""
    std: Any = None
    outputs: Outputs | None = None
    """What it returns; found if None."""
    adaptive: Callable[[nn.Module], nn.Module] | None = None
    """Builds its adaptive view."""
    channels: Channels = "rgb"
    batch_size: int | None = None
    """The likeliest, of a network that takes no other."""


class Adapted(NamedTuple):
    """A defense that was checked, and what a reader of its numbers has to know of it."""

    defense: Pretrained
    notes: list[str]


def adapt(
    network: Callable[..., Any],
    data: ImageDataModule,
    given: Given = Given(),  # noqa: B008 (a tuple)
    *,
    is_certain: bool = False,
) -> Adapted:
    """Return a network as a defense, once it has passed all checks on some test images.

    Args:
        network: Images to scores; its mode is the same afterwards.
        data: Whose images it is to classify.
        given: What is said of it.
        is_certain: Whether it gets the images for certain as in its training.

    Raises:
        ConfigError: With what does not fit, and what to do.
    """
    mean, std = (
        per_channel(numbers, data.shape[0], name)
        for name, numbers in (("mean", given.mean), ("std", given.std))
    )
    defense = Pretrained(
        network if isinstance(network, nn.Module) else Called(network),
        mean,
        std,
        given.outputs or "logits",
        given.adaptive,
        given.channels,
    )
    foreign = defense.network
    assert isinstance(foreign, Foreign)
    device = _device_of(foreign.network)
    defense.to(device)  # its normalization, to where the network is
    notes = _train_mode(network)
    with isolated(defense, torch.device("cpu"), seed=0):
        find_batch_size(foreign, data.shape, given.batch_size)
    x, y = (part.to(device) for part in _some(data))
    with isolated(defense, device, seed=0):
        scores = scores_of(foreign, x[:2], data)
        check_classes(foreign, scores.shape[1], data)
        defense.check_fit(data.shape, data.num_classes, data.name)
        notes += set_outputs(defense, foreign, x, given.outputs)
        check_view(defense, x)
        notes += check_gradient(defense, x)
        notes += check_accuracy(foreign, x, y, is_certain)
    return Adapted(defense, notes)


@contextlib.contextmanager
def prepared(
    network: object,
    data: ImageDataModule,
    given: Given,
) -> Iterator[tuple[Defense, list[str]]]:
    """Give a network as a defense with notes; a network that is none keeps its modes and place.

    Args:
        network: A defense, whose sizes are then taken from the data; or any other callable.
        data: Whose images it is to classify.
        given: What is said of a network that is no defense.

    Raises:
        ConfigError: With what does not fit, and what to do.
    """
    if isinstance(network, Defense):
        _check_not_given(given)
        with isolate_rng():
            torch.manual_seed(0)
            take_sizes(network, data)
        if not data.is_named:  # its first samples may lack a class
            data.num_classes = max(data.num_classes, outputs_of(network, data.shape))
        yield network, [UNTRAINED] if is_untouched(network) else []
        return
    if isinstance(network, ExportedProgram):
        network = network.module()
    if not callable(network) or isinstance(network, type):
        raise ConfigError(
            "Expected a module, or another callable from images to scores, as `network`, but got "
            f"{_described(network)}. {_what_to_do(network)}"
        )
    modes, device = _modes(network), _device_of(network)
    try:
        yield adapt(network, data, given)
    finally:
        for module, mode in modes:
            module.training = mode
        if isinstance(network, nn.Module) and _device_of(network) != device:
            network.to(device)  # a test of Lightning's leaves it on the CPU


def _check_not_given(given: Given) -> None:
    for name, value in zip(("mean", "std", "outputs", "view_from"), given, strict=False):
        if value is not None:
            raise ConfigError(
                f"Expected no `{name}` for a Defense, which says itself how it normalizes and what "
                "it returns, but got one. Leave it out."
            )


def _described(network: object) -> str:
    if isinstance(network, type):
        return f"the class {network.__name__}, not an object of it"
    return type(network).__name__


def _what_to_do(network: object) -> str:
    if isinstance(network, Mapping):
        return "Load it into its module: network.load_state_dict(...)."
    if isinstance(network, str | Path):
        return "Load it first: robust.load for a run, or torch's own way for weights."
    return "See docs/own-network.md."


def _device_of(network: object) -> torch.device:
    weights = network.state_dict() if isinstance(network, nn.Module) else {}
    return next((v.device for v in weights.values() if hasattr(v, "device")), torch.device("cpu"))


def _modes(network: object) -> list[tuple[nn.Module, bool]]:
    modules = network.modules() if isinstance(network, nn.Module) else iter(())
    return [(module, module.training) for module in modules]


def _train_mode(network: object) -> list[str]:
    modules = network.modules() if isinstance(network, nn.Module) else iter(())
    acting = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    if any(isinstance(module, acting) and module.training for module in modules):
        return ["the network came in train mode and is evaluated in eval mode."]
    return []


def _some(data: ImageDataModule) -> tuple[Images, Labels]:
    """Some test images of all parts of the test set, with their labels."""
    size = data.test_size
    count = min(_SOME, size)
    pieces = min(_PIECES, count)
    starts = [piece * size // pieces for piece in range(pieces)]
    parts = [data.test_samples(start, start + count // pieces) for start in starts]
    return torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
