"""Files that are programs with their weights: TorchScript, exported programs and ONNX."""

import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from robust.errors import ConfigError, in_short
from robust.io.file_kinds import not_of_torch
from robust.loading.pretrained.source import Source, check_trusted


class Program(NamedTuple):
    """A program as a module, and what it says of its batches."""

    network: nn.Module
    batch_size: int | None = None
    """Of its example, if it was made for one size."""


def read_program(source: Source) -> Program:
    """Return the module that a file is; TorchScript and exported programs have to be trusted.

    Raises:
        UntrustedError: If loading could run code, and the user has not said to trust the file.
        ConfigError: If it is damaged, of another version, or needs a package that is not there.
    """
    path = Path(source.place)
    if source.kind == "onnx":
        from robust.loading.pretrained.onnx_networks import read_onnx

        return Program(*read_onnx(path))
    check_trusted(path)
    kind = _CALLED.get(source.kind, source.kind)
    if not zipfile.is_zipfile(path):  # torch would say so in many lines of its log
        found = not_of_torch(path) or "a file of another kind"
        raise ConfigError(f"Expected {kind} at {path}, but got {found}. Name another file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that torch is about to give up
            return _torchscript(path) if source.kind == "torchscript" else _exported(path)
    except Exception as error:  # of damaged files and of other versions
        raise ConfigError(
            f"Expected {kind} at {path}, but it cannot be loaded ({in_short(error)}). It may be "
            "truncated, or of another version of torch."
        ) from None


_CALLED = {"torchscript": "a TorchScript program", "exported": "an exported program"}


def _torchscript(path: Path) -> Program:
    network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    return Program(network)


def _exported(path: Path) -> Program:
    exported = torch.export.load(path)
    network = exported.module()
    return Program(network, _batch_size(exported))


def _batch_size(exported: torch.export.ExportedProgram) -> int | None:
    """The size of the only input's first dimension, if it is fixed."""
    names = set(exported.graph_signature.user_inputs)
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            size = next(iter(getattr(node.meta.get("val"), "shape", ())), None)
            return size if isinstance(size, int) else None
    return None
