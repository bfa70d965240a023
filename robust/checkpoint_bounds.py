"""A checkpoint is bounded, since a small file can mean more than any memory.

What is in it twice is stored once, and a tensor may repeat one number without end.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from robust.errors import ConfigError

_MOST = 200_000
"""The most values; parts of lists and mappings count each time, texts per hundred characters."""
_DEEPEST = 200
_REPEATED = 8
"""The most bytes of tensors for each byte that is stored; weights may be tied."""
_SMALL = 64 << 20
"""So many bytes are allowed in any case."""


def check_bounds(checkpoint: object, path: Path) -> None:
    """Raise if a checkpoint is larger or deeper than its file, or has tensors without numbers.

    Args:
        checkpoint: What was read.
        path: Where it lies, for the message.

    Raises:
        ConfigError: If it is, with what is too much.
    """
    count = bytes_of_all = 0
    stored: dict[int, int] = {}
    for value, depth in _parts(checkpoint):
        if isinstance(value, Tensor):
            if value.is_meta:
                raise _refused(path, "a tensor without numbers")
            if value.layout is torch.strided:
                storage = value.untyped_storage()
                stored[storage.data_ptr()] = storage.nbytes()
                bytes_of_all += value.numel() * value.element_size()
        else:
            count += 1 + (len(value) // 100 if isinstance(value, str | bytes) else 0)
        if count > _MOST or depth > _DEEPEST:
            raise _refused(path, f"more than {_MOST:,} values or {_DEEPEST} levels")
    if bytes_of_all > _SMALL + _REPEATED * sum(stored.values()):
        raise _refused(path, f"tensors of {bytes_of_all:.1e} bytes that repeat a few numbers")


def _parts(checkpoint: object) -> Iterator[tuple[object, int]]:
    """Yield a value and all in it, with the level of each; what is in it twice comes twice."""
    stack = [iter([checkpoint])]
    while stack:
        value = next(stack[-1], stack)
        if value is stack:
            stack.pop()
            continue
        yield value, len(stack)
        if isinstance(value, Mapping):
            stack += [iter(value), iter(value.values())]
        elif isinstance(value, list | tuple):
            stack.append(iter(value))


def _refused(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f"Expected plain values and tensors in {path}, but got {what}. Use a checkpoint that "
        "train.py wrote."
    )
