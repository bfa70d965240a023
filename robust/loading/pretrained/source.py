"""Where a network comes from: a file, whose first bytes say what it is, or a library.

Nothing here imports torch, so that a mistake is answered at once.
"""

import os
import re
import zipfile
from pathlib import Path
from typing import Literal, NamedTuple

from robust.errors import ConfigError
from robust.io.file_kinds import is_cut
from robust.loading.short_names import check_exists
from robust.loading.trust import UntrustedError, file_entry, granted, is_below, shown

FileKind = Literal["weights", "torchscript", "exported", "onnx"]
Library = Literal["timm", "torchvision", "hf"]
LIBRARIES: tuple[Library, ...] = ("timm", "torchvision", "hf")
"""Schemes of networks that a library builds, such as ``timm:resnet18``."""
_PROGRAMS: dict[str, FileKind] = {
    "/constants.pkl": "torchscript",
    "/archive_format": "exported",
    "serialized_exported_program.json": "exported",  # before torch 2.8
}
"""Parts of a zip file that tell what it is."""


class Source(NamedTuple):
    """A network's source: a file of some kind, or a name in a library."""

    kind: FileKind | Library
    place: str
    """Path of the file, or the name."""

    @property
    def stem(self) -> str:
        """A name for its runs."""
        name = Path(self.place).stem if self.kind not in LIBRARIES else Path(self.place).name
        return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "network"


def is_network(text: str) -> bool:
    """Return whether an argument of `evaluate` names a network that needs no class to be read.

    Weights alone do not: they are a network's where ``--network`` says whose.
    """
    if text.partition(":")[0] in LIBRARIES and ":" in text:
        return True
    path = Path(text)
    return path.suffix in (".onnx", ".pt2", ".safetensors") or (
        path.suffix != ".ckpt" and os.path.isfile(path) and _kind_of(path) != "weights"
    )


def source_of(text: str) -> Source:
    """Return the source that an argument names.

    Raises:
        ConfigError: If there is no such file, or a library is named without a network.
    """
    scheme, _, name = text.partition(":")
    for library in LIBRARIES:
        if scheme == library and ":" in text:
            if not name or name.startswith("-"):
                raise ConfigError(
                    f"Expected a network after {library}:, but got {shown(text)!r}. Name one, such "
                    f"as {library}:resnet18."
                )
            return Source(library, name)
    check_exists(text, "a network's file")
    path = Path(text)
    if not path.is_file():
        raise ConfigError(
            f"Expected a network's file, but {shown(text)} is a folder. Name a file in it, or "
            "hf:PATH for a folder that Hugging Face's transformers wrote."
        )
    if is_cut(path):
        raise ConfigError(
            f"Expected a complete file at {shown(text)}, but it is truncated or damaged. Copy it "
            "again."
        )
    return Source(_kind_of(path), text)


def _kind_of(path: Path) -> FileKind:
    if path.suffix == ".onnx":
        return "onnx"
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return "exported" if path.suffix == ".pt2" else "weights"
    for end, kind in _PROGRAMS.items():
        if any(name.endswith(end) for name in names):
            return kind
    return "exported" if path.suffix == ".pt2" else "weights"


def check_trusted(path: str | Path) -> None:
    """Raise unless the user has said to trust a file that is a program, by what is in it.

    Raises:
        UntrustedError: With the flag that would allow it.
    """
    if not is_below(file_entry(path), granted()):
        raise UntrustedError(
            f"Expected weights, but {shown(str(path))} is a program, and reading it can run code. "
            f"If you trust its origin, add --trust {shown(str(path))}. Else have its weights saved "
            "alone: torch.save(model.state_dict(), 'weights.pt')."
        )
