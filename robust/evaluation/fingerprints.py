"""Hashes of what was evaluated and by which code, so that records of other things never mix."""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType

import torch
from torch import nn

from robust.attacks import Attack, Rescale, craft
from robust.evaluation.masking_signs import has_zero_gradient
from robust.evaluation.meaning import meaning_sha256
from robust.random_streams import RandomStreams
from robust.threat import ThreatModel

_CRAFTING = (
    *(kind.__module__ for kind in (craft, RandomStreams, Attack, Rescale, ThreatModel)),
    has_zero_gradient.__module__,
)
"""Modules that every attack and every record runs through."""

_NO_MATTER = ("robust.checkpoints", "robust.data", "robust.errors", "robust.io.files")
"""What imports may lead to and no result depends on: the samples have a hash of their own."""

_OF_TRAINING = ("training", "optimizer", "scheduler")
"""Attributes of a module that say how it was trained, or whether it is being trained."""


def model_sha256(model: nn.Module) -> str:
    """Short hash of what a model computes: weights, modules, their plain attributes and code.

    The same on every device. Weights alone would not do: a squeezed network has those of its twin.
    """
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        plain = {
            key: _text(value)
            for key, value in sorted(vars(module).items())
            if _is_plain(value) and key[0] != "_" and key not in _OF_TRAINING
        }
        digest.update(f"{name}: {type(module).__qualname__} {plain}".encode())
    digest.update(code_sha256(type(module) for module in model.modules()).encode())
    state = model.state_dict()
    for name in sorted(state):
        values = state[name].detach().cpu().contiguous()
        digest.update(f"{name}{values.dtype}{tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def code_sha256(classes: Iterable[type]) -> str:
    """Short hash of the code that defines classes and their bases, and of all that it imports.

    Installed libraries count by their version, files by their meaning (`meaning_sha256`). So a
    docstring may be rewritten and a module renamed, but a changed statement means other records.
    """
    modules = {*_CRAFTING, *(base.__module__ for kind in classes for base in kind.__mro__)}
    files = set().union(*(_own_files(name) for name in modules))
    meanings = sorted(filter(None, map(meaning_sha256, files)))
    text = "\n".join([version("torchattacks"), *meanings])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_plain(value: object) -> bool:
    """Whether a value is the same in every process: a number, a name, or several of them."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    plain = str | int | float | None | FunctionType | BuiltinFunctionType
    return isinstance(value, plain)


def _text(value: object) -> str:
    """A plain value, whose functions are known by their names."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, FunctionType | BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


@cache
def _own_files(name: str) -> frozenset[Path]:
    """Source files of a module and of all that it imports, outside installed libraries."""
    files: dict[str, Path] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        file = getattr(sys.modules.get(name), "__file__", None)
        if name not in files and file is not None and _is_own(name, Path(file)):
            files[name] = Path(file)
            waiting += _imported_by(sys.modules[name])
    return frozenset(files.values())


def _is_own(name: str, file: Path) -> bool:
    package = name.partition(".")[0]
    if package == "robust":
        return not any(f"{name}.".startswith(f"{other}.") for other in _NO_MATTER)
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    return not installed and package not in sys.stdlib_module_names


def _imported_by(module: ModuleType) -> Iterator[str]:
    """Modules of the names that a module has."""
    for value in vars(module).values():
        # A submodule is an attribute as soon as anything in this process has imported it.
        if isinstance(value, ModuleType) and value.__name__.startswith(f"{module.__name__}."):
            continue
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        if isinstance(name, str):
            yield name
