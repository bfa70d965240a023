"""Networks built from what a user names, with a description that builds them again later.

A description is plain values: ``class_path`` and ``init_args`` as everywhere, and under ``source``
of what kind it is. Programs lie beside the checkpoint, under a name of their own.
"""

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn

from robust.errors import ConfigError, in_short
from robust.loading.class_paths import allows, imported
from robust.loading.messages import nearest
from robust.loading.pretrained.libraries import build, build_again
from robust.loading.pretrained.programs import read_program
from robust.loading.pretrained.source import LIBRARIES, Source, source_of
from robust.loading.pretrained.state_dicts import load_weights, read_weights
from robust.loading.trust import file_entry, granted, is_below, is_class_path, shown

PROGRAM = "network"
"""Stem of the copy of a program in a run's folder."""


@dataclass(frozen=True)
class Request:
    """What a user asks for: a source, and what it takes to make a network of it.

    Args:
        source: A file, or a name such as ``timm:resnet18``.
        network: Class or function that builds the network, such as ``mymodels.CNN``.
        arguments: Its arguments, or those of a library's network.
        weights: File of the weights of a library's network.
        attribute: Which part of it the network is, such as ``model`` of a Lightning module.
        key: Where in the file its weights are, if there are those of several networks.
    """

    source: str
    network: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    attribute: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Built:
    """A network with its weights, and what is known of it.

    Args:
        network: Images to scores.
        description: Builds it again, except its weights.
        stem: A name for its runs.
        program: The file that it is, if it is one.
        batch_size: Of its example, if it was made for one size.
        mean: Of the normalization that its library asks for.
        std: As ``mean``.
        notes: What a reader of its numbers has to know.
    """

    network: nn.Module
    description: dict[str, Any]
    stem: str
    program: Path | None = None
    batch_size: int | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    notes: tuple[str, ...] = ()


def built(request: Request, classes: int) -> Built:
    """Return the network that a user asks for, with its weights.

    Args:
        request: What it is.
        classes: Of the data, for a library's network of which nothing else is said.

    Raises:
        ConfigError: With what cannot be read or built, or does not fit, and what to do.
    """
    source = source_of(request.source)
    if source.kind == "weights":
        return _of_weights(source, request)
    if request.network is not None:
        raise ConfigError(
            f"Expected no --network for {shown(request.source)}, which says itself how it "
            "computes, but got one. Leave it out."
        )
    if source.kind in LIBRARIES:
        return _of_library(source, request, classes)
    program = read_program(source)
    network = _part(program.network, request.attribute)
    path = Path(source.place)
    kind = f"robust.{source.kind}"
    description = _description(kind, {}, source.kind, request.attribute)
    description["source"]["content"] = file_entry(path)
    return Built(network, description, source.stem, path, program.batch_size)


def built_again(description: Mapping[str, Any], folder: Path) -> nn.Module:
    """Return a network as its description says, without its weights.

    Args:
        description: As `built` gives it.
        folder: Where a program lies.

    Raises:
        ConfigError: If it cannot be built, or a program is another one.
        UntrustedError: If its class or its program is not trusted.
    """
    source = description.get("source")
    kind = source.get("kind") if isinstance(source, Mapping) else None
    arguments, path = description.get("init_args", {}), str(description.get("class_path"))
    if not isinstance(source, Mapping) or not isinstance(arguments, Mapping):
        raise ConfigError(f"Expected a description of a network in {folder}, but it has none.")
    if kind == "weights":
        network = _called(_imported(dotted(path)), path, arguments)
    elif kind in LIBRARIES:
        network = build_again(kind, str(source.get("name")), arguments)
    else:
        network = _program_again(source, folder)
    attribute = source.get("attribute")
    return _part(network, attribute if isinstance(attribute, str) else None)


def _program_again(source: Mapping[str, Any], folder: Path) -> nn.Module:
    copies = sorted(folder.glob(f"{PROGRAM}.*"))
    if not copies or file_entry(copies[0]) != source.get("content"):
        raise ConfigError(
            f"Expected the program of the network in {folder}, but there is "
            f"{'another' if copies else 'none'}. Evaluate its source again."
        )
    return read_program(source_of(str(copies[0]))).network


def _of_weights(source: Source, request: Request) -> Built:
    path = Path(source.place)
    if request.network is None:
        raise ConfigError(
            f"Expected the class whose weights are in {shown(source.place)}, but got none. Give it "
            "with --network, such as --network mymodels:CNN."
        )
    kind = dotted(request.network)
    network = _called(_imported(kind), kind, request.arguments)
    weights = read_weights(path, request.key)
    complete, part = network, _part(network, request.attribute)
    try:
        notes = load_weights(part, weights, path)
    except ConfigError:
        if part is complete:
            raise
        notes = load_weights(complete, weights, path)
    description = _description(kind, request.arguments, "weights", request.attribute)
    return Built(part, description, source.stem, notes=tuple(notes))


def _of_library(source: Source, request: Request, classes: int) -> Built:
    assert source.kind in LIBRARIES
    arguments = dict(request.arguments)
    if source.kind != "hf":
        arguments.setdefault("num_classes", classes)
    with isolate_rng():
        torch.manual_seed(0)  # random weights are the same each time
        found = build(source.kind, source.place, arguments)
    notes = []
    if request.weights is not None:
        notes = load_weights(
            found.network, read_weights(request.weights, request.key), request.weights
        )
    elif not found.has_weights:
        notes = ["untrained: no --weights were given, so these are numbers of random weights."]
    kind = f"{type(found.network).__module__}.{type(found.network).__qualname__}"
    description = _description(kind, found.arguments, source.kind, request.attribute)
    description["source"]["name"] = source.place
    network = _part(found.network, request.attribute).eval()  # a library builds them for training
    if found.mean is not None and found.std is not None:
        usual = " ".join(f"{value:.4g}" for value in found.mean)
        notes = [*notes, f"normalized as its library says (mean {usual}) unless --mean is given."]
    return Built(
        network, description, source.stem, mean=found.mean, std=found.std, notes=tuple(notes)
    )


def _description(
    path: str, arguments: Mapping[str, Any], source: str, attribute: str | None
) -> dict[str, Any]:
    described = {"kind": source, "attribute": attribute}
    return {"class_path": path, "init_args": dict(arguments), "source": described}


def dotted(name: str) -> str:
    """Return the dotted path of what a user names as ``module:Class`` or with dots.

    Modules of the folder that the command was started in are found, too, unless it is a class that
    any file may name: then nothing in that folder is meant.

    Raises:
        ConfigError: If it is no such name.
    """
    path = name.replace(":", ".")
    if not is_class_path(path):
        raise ConfigError(
            f"Expected a class such as mymodels:CNN, but got {shown(name)!r}. "
            "Put the name of its module, and a colon, before it."
        )
    own = not allows(path) or is_below(path, granted())
    if own and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    return path


def _imported(path: str) -> Any:  # noqa: ANN401
    module, _, last = path.rpartition(".")
    try:
        return imported(path)
    except ImportError as error:
        raise ConfigError(
            f"Expected a class in a module that can be imported, but {shown(module)} cannot "
            f"({in_short(error)}). Start where its file is, or set PYTHONPATH."
        ) from None
    except AttributeError:
        public = {k: v for k, v in vars(sys.modules[module]).items() if not k.startswith("_")}
        known = [name for name, value in public.items() if callable(value)]
        raise ConfigError(
            f"Expected a class in {shown(module)}, but it has no {shown(last)}."
            f"{nearest(last, known)}"
        ) from None


def _called(kind: Any, name: str, arguments: Mapping[str, Any]) -> nn.Module:  # noqa: ANN401
    if not callable(kind):
        raise ConfigError(
            f"Expected {shown(name)} to be a class or a function, but it is {type(kind).__name__}. "
            "Name the network's class, or a function that builds it."
        )
    if inspect.isclass(kind) and not issubclass(kind, nn.Module):
        raise ConfigError(
            f"Expected {shown(name)} to be a torch module, but it is another class, which was not "
            "built. Name the network's class, or a function that builds it."
        )
    try:
        network = kind(**arguments)
    except ConfigError:
        raise
    except Exception as error:  # of any class
        raise ConfigError(
            f"Expected arguments that {shown(name)} takes, but it cannot be built "
            f"({in_short(error)}). Give them as --network.KEY VALUE."
        ) from None
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"Expected {shown(name)} to build a torch module, but it returns "
            f"{type(network).__name__}. Name the network's class, or a function that builds it."
        )
    return network.eval()


def _part(network: nn.Module, attribute: str | None) -> nn.Module:
    if attribute is None:
        return network
    try:
        return network.get_submodule(attribute)
    except AttributeError:
        known = [name for name, _ in network.named_children()]
        raise ConfigError(
            f"Expected a part of {type(network).__name__} as --attribute, but got "
            f"{shown(attribute)!r}.{nearest(attribute, known)} It has {', '.join(known[:8])}."
        ) from None


def view_of(path: str) -> Any:  # noqa: ANN401
    """Return what builds an adaptive view, which a user names as ``module:MyView``.

    Raises:
        ConfigError: If there is none.
        UntrustedError: If it is not trusted.
    """
    return _imported(dotted(path))
