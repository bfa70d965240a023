"""Hashes of what was evaluated and by which code, so that records of other things never mix."""

import hashlib
import inspect
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from robust.attacks import Crafted, OwnAttack, Rescale
from robust.draws import Draws
from robust.threat import ThreatModel

_CRAFTING = (Crafted, Draws, OwnAttack, Rescale, ThreatModel)
"""One class of each file that every attack runs through."""


def model_sha256(model: nn.Module) -> str:
    """Short hash of what a model computes: weights, modules, their plain attributes and code.

    The same on every device. Weights alone would not do: a squeezed net has those of its twin.
    """
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        plain = {
            key: value
            for key, value in sorted(vars(module).items())
            if isinstance(value, str | int | float) and key[0] != "_" and key != "training"
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
    """Short hash of the files that define classes and their bases, and of how we craft.

    Installed libraries count by their version. A changed file means other records, even where only
    a comment changed: attacking again costs minutes, a stale number costs trust.
    """
    digest = hashlib.sha256(version("torchattacks").encode())
    files = {file for kind in {*classes, *_CRAFTING} for file in _own_files(kind)}
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _own_files(kind: type) -> frozenset[Path]:
    """Source files of a class and its bases outside installed libraries."""
    files = set()
    for base in kind.__mro__:
        try:
            file = Path(str(inspect.getsourcefile(base)))
        except TypeError:  # built in, or typed into an interpreter
            continue
        ours = base.__module__.partition(".")[0] == "robust"
        if file.is_file() and (ours or "site-packages" not in file.parts):
            files.add(file)
    return frozenset(files)
