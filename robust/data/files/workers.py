"""Work on pieces of a set in processes, in order, a few pieces ahead of who asks for them."""

import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from robust.errors import ConfigError

_Result = TypeVar("_Result")
_MOST = 4
_INHERITED = (signal.SIGINT, signal.SIGUSR1)
"""Signals that the first process handles for all."""


def usual_workers() -> int:
    """Return the number of processes that read images where nobody gave one.

    It is 0 where there is one CPU alone: a second process would only cost its start.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST, cpus) if cpus > 1 else 0


def in_order(
    function: Callable[[Any], _Result], pieces: Sequence[Any], workers: int
) -> Iterator[_Result]:
    """Yield the function's result of each piece, in their order.

    Tensors travel through pipes. A container often has too little shared memory for images.

    Args:
        function: Called in a process, where it sees a copy of all that it refers to.
        pieces: Its arguments.
        workers: Number of processes; 0 calls it in this one, as does a single piece.

    Raises:
        ConfigError: If the function does.
    """
    if not workers or len(pieces) < 2:
        yield from map(function, pieces)
        return
    loader = DataLoader(
        _Calls(function),
        batch_size=None,
        sampler=pieces,
        num_workers=min(workers, len(pieces)),
        collate_fn=_as_is,
        worker_init_fn=_leave_signals,
        multiprocessing_context=_context(),
        generator=torch.Generator().manual_seed(0),
    )
    with warnings.catch_warnings():
        # Python's advice to any process with threads; a worker starts none before it reads.
        warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
        results = iter(loader)
    for result in results:
        if isinstance(result, _Refused):
            raise ConfigError(result.message)
        yield _with_tensors(result)


class _Refused(NamedTuple):
    """This carries the message of a `ConfigError`, which torch would wrap in a traceback."""

    message: str


class _Calls(TorchDataset[Any]):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def __getitem__(self, piece: Any) -> Any:  # noqa: ANN401
        try:
            return _with_arrays(self._function(piece))
        except ConfigError as error:
            return _Refused(str(error))


def _context() -> str | None:
    """How processes start: forked, which takes milliseconds, where the system can do that."""
    return "fork" if hasattr(os, "fork") else None


def _as_is(value: Any) -> Any:  # noqa: ANN401
    return value


def _leave_signals(worker: int) -> None:
    # A forked process would otherwise handle them as the trainer does.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in _INHERITED:
        signal.signal(number, signal.SIG_IGN)


def _with_arrays(value: Any) -> Any:  # noqa: ANN401
    """Return a value with arrays for tensors, which torch would put into shared memory."""
    return _mapped(value, lambda part: part.numpy() if isinstance(part, Tensor) else part)


def _with_tensors(value: Any) -> Any:  # noqa: ANN401
    return _mapped(
        value, lambda part: torch.from_numpy(part) if isinstance(part, np.ndarray) else part
    )


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(function, value))
    return function(value)
